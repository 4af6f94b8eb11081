// sd_listen_fds(3) as this process is told of it. Real sockets of systemd: test/e2e.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeListenFds, takeListenFds } from '../../src/systemd/inherited-sockets.ts'

function take(env: NodeJS.ProcessEnv): number {
  const count = takeListenFds(env)
  const left = Object.keys(env).filter((name) => name.startsWith('LISTEN_'))
  assert.deepEqual(left, [], 'the workers would take it for theirs')
  return count
}

test('sockets are taken when they are meant for this process, and LISTEN_* is gone in any case', () => {
  const us = String(process.pid)
  assert.equal(take({ LISTEN_FDS: '2', LISTEN_PID: us, LISTEN_FDNAMES: 'a:b' }), 2)
  assert.equal(take({ LISTEN_FDS: '2' }), 2)
  assert.equal(take({ LISTEN_FDS: '2', LISTEN_PID: '1' }), 0)
  assert.equal(take({ LISTEN_PID: us }), 0)
  for (const count of ['', '-1', '2x', '99999', ' 1']) assert.equal(take({ LISTEN_FDS: count }), 0, count)
})

test('a descriptor that is not a listening TCP socket is rejected, named by its number', async () => {
  assert.deepEqual(await describeListenFds(0), [])
  await assert.rejects(describeListenFds(1), {
    code: 'BIND',
    message: /^LISTEN_FDS: descriptor 3 is not a listening TCP socket \(.+\)$/u,
  })
})
