// Whatever becomes of the disk or of whoever reads the log, requests are served, the other
// destination has every line, and what could be written has been.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { Fifo } from '../../harness/system/fifo.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { sendMany } from '../../harness/clients/load.ts'
import { freePort } from '../../harness/ports.ts'
import { Program } from '../../harness/program.ts'
import { PROGRAM, writeConfig } from '../../harness/proxy.ts'
import { request } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { createSmallDisk } from '../../harness/system/small-disk.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const TEXT_LINE =
  /^\d{4}-\d\d-\d\dT[\d:.]+Z (?:DEBUG|INFO|WARN|ERROR) [A-Z_]+(?: [a-z0-9_]+=(?:[^\s"=]+|"(?:[^"\\]|\\.)*"))*$/u
/** A line with this path takes about 2 KiB: 4,100 of them are what a process holds back. */
const LONG_PATH = `/${'x'.repeat(2000)}`

/** The numbers of the requests that have a line, in order. What is left of a line that was cut is none. */
function requestsIn(lines: readonly string[]): number[] {
  const numbers = lines.flatMap((line) => {
    const number =
      / REQUEST .* path=\S*\/n\/(\d+) .* worker=\d+$|"path":"[^"]*\/n\/(\d+)".*"event":"REQUEST"/u.exec(line)
    return number === null ? [] : [Number(number[1] ?? number[2])]
  })
  return numbers.toSorted((a, b) => a - b)
}

function requestCount(lines: readonly string[]): number {
  // Asked again and again, of long lines: only their ends are looked at.
  return lines.filter((line) => / worker=\d+$/u.test(line.slice(-12)) && line.includes(' REQUEST ')).length
}

/** How many lines are missing, as the log itself says. */
function droppedIn(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Number(/ WARN LOG_DROPPED count=(\d+)$/u.exec(line)?.[1] ?? 0), 0)
}

/** Each of 0 to `count` - 1 has its line, once. */
function assertEachOnce(lines: readonly string[], count: number): void {
  const numbers = requestsIn(lines)
  const missing = upTo(count).filter((number) => !numbers.includes(number))
  const doubled = numbers.filter((number, i) => number === numbers[i - 1])
  assert.deepEqual({ missing, doubled, count: numbers.length }, { missing: [], doubled: [], count })
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

function linesOf(path: string): string[] {
  return readFileSync(path, 'latin1').split('\n').slice(0, -1)
}

async function startOrigin(t: Parameters<typeof HttpOrigin.start>[0]): Promise<HttpOrigin> {
  return await HttpOrigin.start(t, (_incoming, response) => response.end('ok'))
}

test('a full disk: all is served and on stdout; with room again, what was held is written', async (t) => {
  const origin = await startOrigin(t)
  const disk = createSmallDisk(t, 64 * 1024)
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 2, logging: { log_file_path: disk.path } },
  })
  const count = 1_000
  assert.equal(await sendMany(t, target, count, (n) => `/${'x'.repeat(200)}/n/${n}`), count)
  await waitFor('stdout to have every line', () => requestCount(proxy.stdout.lines) === count)
  await proxy.stdout.waitForLine(/ ERROR LOG_FAILED destination=\S+ error=ENOSPC$/u)
  const hasRoom = disk.makeRoom()
  if (hasRoom) {
    await waitFor('the file to have every line', () => requestCount(linesOf(disk.path)) === count)
  }
  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  assertEachOnce(proxy.stdout.lines, count)
  if (!hasRoom) return
  assertEachOnce(linesOf(disk.path), count)
  assert.ok(linesOf(disk.path).at(-1)?.includes(' STOPPED '))
})

test('a pipe: without a reader, with one that stops, with one that goes: all is served, what is missing is counted', async (t) => {
  const origin = await startOrigin(t)
  const fifo = new Fifo(t, join(temporaryDirectory(t), 'log'))
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 1, logging: { log_file_path: fifo.path } },
  })
  assert.equal((await request({ ...target, path: '/n/0' })).status, 200)
  fifo.openReader()
  const isHeld = (lines: readonly string[]): boolean =>
    requestCount(lines) === 1 && lines.some((line) => line.includes(' INFO STARTING '))
  await fifo.readUntil('what worker and supervisor have held', isHeld)

  // For a host that is not served: no upstream has to be asked.
  const stranger = { ...target, headers: { ':authority': 'stranger.test' } }
  const count = 4_300
  assert.equal(await sendMany(t, stranger, count, (n) => `${LONG_PATH}/n/${n + 1}`, 404), count)
  await waitFor('stdout to have every line', () => requestCount(proxy.stdout.lines) === count + 1)
  const lines = await fifo.readUntil('LOG_DROPPED', (all) => droppedIn(all) > 0)
  await fifo.readUntil('the rest', (all) => requestCount(all) + droppedIn(all) >= count + 1)
  assert.equal(requestCount(fifo.lines) + droppedIn(fifo.lines), count + 1)
  assert.ok(droppedIn(lines) > 100)
  for (const line of fifo.lines) assert.match(line, TEXT_LINE)

  fifo.closeReader()
  assert.equal(await sendMany(t, target, 100, (n) => `/gone/n/${n + 10_000}`), 100)
  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  assert.equal(requestCount(proxy.stdout.lines), count + 101)
  assert.equal(droppedIn(proxy.stdout.lines), 0)
})

test('stdout that nobody reads, then somebody, then nobody ever: the file has every line, and the program ends in time', async (t) => {
  const origin = await startOrigin(t)
  const ca = await TestCa.create(t)
  const leaf = await ca.issue([HOST])
  const directory = temporaryDirectory(t)
  const [httpsPort, filePath] = [await freePort(), join(directory, 'log')]
  const configPath = writeConfig(directory, {
    logging: { log_file_path: filePath },
    shutdown_timeout_secs: 2,
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: httpsPort,
        http_port: 0,
        tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
        sites: [{ host: HOST, upstream: origin.upstream }],
      },
    ],
  })
  const stdout = new Fifo(t, join(directory, 'stdout'))
  stdout.openReader()
  const command = ['exec "$@" >"$0"', stdout.path, process.execPath, PROGRAM, '--config', configPath]
  const proxy = new Program(t, 'sh', ['-c', ...command])
  await waitFor('the program to serve', () => readFileSync(filePath, 'latin1').includes(' READY '), 20_000)

  const target = { host: HOST, port: httpsPort, ca: ca.certPem }
  const count = 1_000
  assert.equal(await sendMany(t, target, count, (n) => `/${'x'.repeat(200)}/n/${n}`), count)
  await waitFor('the file to have every line', () => requestCount(linesOf(filePath)) === count)
  await stdout.readUntil('every line', (lines) => requestCount(lines) === count)
  assertEachOnce(stdout.lines, count)
  for (const line of stdout.lines) assert.match(line, TEXT_LINE)

  assert.equal(await sendMany(t, target, count, (n) => `/${'x'.repeat(200)}/n/${n + count}`), count)
  const startMs = performance.now()
  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  // Nothing was in flight: at most the time for idle connections, and 2 s for the log.
  assert.ok(performance.now() - startMs < 10_000)
  assertEachOnce(linesOf(filePath), 2 * count)
  // No worker had to be killed.
  const exits = linesOf(filePath).filter((line) => line.includes(' WORKER_EXIT '))
  assert.equal(exits.length, 2)
  for (const line of exits) assert.match(line, / INFO WORKER_EXIT .* code=0/u)
  assert.ok(linesOf(filePath).at(-1)?.includes(' STOPPED '))
})

test('SIGUSR2, json: the file is moved away again and again under load, and no line is lost, torn or doubled', async (t) => {
  const origin = await startOrigin(t)
  const directory = temporaryDirectory(t)
  const path = join(directory, 'logs', 'log')
  mkdirSync(join(directory, 'logs'))
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 2, logging: { log_file_path: path, format: 'json' } },
  })
  const count = 2_000
  const sent = Promise.all(
    [0, 1, 2, 3].map(async (k) => await sendMany(t, target, count / 4, (n) => `/n/${n * 4 + k}`)),
  )
  const files = [path]
  for (let i = 0; i < 4; i++) {
    const before = origin.requests.length
    await waitFor('some more requests', () => origin.requests.length >= Math.min(count, before + 200))
    const moved = join(directory, `log.${i}`)
    renameSync(path, moved)
    files.push(moved)
    proxy.signal('SIGUSR2')
    await waitFor('the new file', () => linesOf(path).length >= 0)
  }
  assert.deepEqual(
    await sent,
    Array.from({ length: 4 }, () => count / 4),
  )
  // Its directory gone: said on stdout, and nothing else; there again, and everything is as before.
  rmSync(join(directory, 'logs'), { recursive: true })
  proxy.signal('SIGUSR2')
  await proxy.stdout.waitForLine(/cannot be written: ENOENT/u)
  assert.equal((await request(target)).status, 200)
  mkdirSync(join(directory, 'logs'))
  proxy.signal('SIGUSR2')
  await waitFor('the new file', () => linesOf(path).length >= 0)
  await waitFor('a line in the new file', async () => {
    await request({ ...target, path: '/again' })
    return linesOf(path).some((line) => line.includes('/again'))
  })
  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  assertEachOnce(proxy.stdout.lines, count)
  // What was in the directory that is gone is gone with it.
  const written = files.slice(1).flatMap(linesOf)
  for (const line of [...written, ...linesOf(path)]) {
    assert.equal(typeof JSON.parse(line), 'object')
  }
  const numbers = requestsIn(written)
  assert.deepEqual(numbers, [...new Set(numbers)])
})
