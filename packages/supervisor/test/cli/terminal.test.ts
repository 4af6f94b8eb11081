// What people see who start the program by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { createProgressPrinter, renderFailure, renderLocalProfile } from '../../src/cli/commands/terminal.ts'

const LISTENER = { listenerId: 'l' }

test('a failure is one line, and its hint another', () => {
  assert.equal(renderFailure(new ProxyError('CONFIG', 'no')), 'error: no\n')
  const hint = 'try that'
  assert.equal(renderFailure(new ProxyError('CONFIG', 'no', { hint })), 'error: no\n    hint: try that\n')
})

test('an order shows its steps on a terminal, and nothing elsewhere', () => {
  const shown: string[] = []
  const write = (text: string): void => void shown.push(text)
  const print = createProgressPrinter({ isTTY: true, write })
  print({ ...LISTENER, step: 'order', names: ['a.test', 'b.test'] })
  print({ ...LISTENER, step: 'issued', names: ['a', 'b', 'c', 'd', 'e'], detail: 'until then' })
  createProgressPrinter({ write })({ ...LISTENER, step: 'order', names: ['a.test'] })
  createProgressPrinter({ isTTY: false, write })({ ...LISTENER, step: 'order', names: ['a.test'] })
  assert.deepEqual(shown, [
    '  certificate for a.test, b.test: order\n',
    '  certificate for a, b, c and 2 more: issued (until then)\n',
  ])
})

test('the local profile gives a line that a shell takes as it stands, whatever the path of its CA', () => {
  const view = { pid: 7, httpsPort: 8443, httpPort: 8080 }
  const plain = renderLocalProfile({ ...view, caPath: '/home/me/.local/ca.pem' })
  assert.match(plain, /^ {2}curl --cacert \/home\/me\/\.local\/ca\.pem https:\/\/localhost:8443\/$/mu)
  assert.match(plain, /http:\/\/localhost:8080\/ /u)
  assert.match(plain, /\bkill 7\.$/mu)
  const odd = renderLocalProfile({ ...view, caPath: "/home/it's me/ca.pem" })
  assert.ok(odd.includes(String.raw`curl --cacert '/home/it'\''s me/ca.pem' https`))
})
