// `doctor` before anything is ordered, with a real CA and a real name server; nothing is ordered.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import type { Pebble } from '../../harness/acme/pebble.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { PROGRAM, startProxy, writeConfig } from '../../harness/proxy.ts'
import type { Behaviour } from '../../harness/acme/exchange.ts'
import { withHeaders } from '../../harness/acme/exchange.ts'
import type { AcmeServer } from '../../harness/acme/fault-proxy.ts'
import { startAcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { TestCa } from '../../harness/tls-material.ts'

const TEST = { timeout: 120_000 }

interface Finding {
  readonly check: string
  readonly subject: string
  readonly verdict: string
  readonly message: string
  readonly hint?: string
}

interface Diagnosis {
  readonly code: number
  readonly text: string
  readonly findings: readonly Finding[]
}

async function diagnose(configPath: string, pebble: Pebble, ...args: readonly string[]): Promise<Diagnosis> {
  const { promise, resolve } = Promise.withResolvers<Diagnosis>()
  const all = [PROGRAM, 'doctor', '--config', configPath, '--dns', pebble.nameServer, ...args]
  execFile(process.execPath, all, (error, text) => {
    const findings: Finding[] = args.includes('--json') ? JSON.parse(text).findings : []
    resolve({ code: typeof error?.code === 'number' ? error.code : 0, text, findings })
  })
  return await promise
}

/** A CA that says how it is called in CAA records, and what it takes the time for. */
function sayInDirectory(caaIdentities: readonly string[], date: string): Behaviour {
  return async ({ forward, send }) => {
    const answer = await forward()
    const { meta, ...directory } = JSON.parse(answer.body.toString())
    const body = Buffer.from(JSON.stringify({ ...directory, meta: { ...meta, caaIdentities } }))
    send(withHeaders({ ...answer, body }, { date }))
  }
}

function listenerOf(
  pebble: Pebble,
  cacheDir: string,
  names: readonly string[],
  ca: AcmeServer = pebble,
): FileConfig {
  const { tlsPort: httpsPort, httpPort } = pebble
  return acmeListener({ ca, names, cacheDir, httpsPort, httpPort, contact: 'mailto:admin@good.example' })
}

function pick(findings: readonly Finding[], check: string): [subject: string, verdict: string][] {
  return findings.filter((one) => one.check === check).map(({ subject, verdict }) => [subject, verdict])
}

test('a machine that is ready: all is well before the start, and while the proxy runs', TEST, async (t) => {
  const pebble = await startPebble(t)
  const directory = temporaryDirectory(t)
  const cacheDir = join(directory, 'cache')
  const healthPort = await freePort()
  const manual = await (await TestCa.create(t)).issue(['manual.example'])
  const config = {
    health_check_port: healthPort,
    listeners: [
      listenerOf(pebble, cacheDir, ['good.example', 'www.good.example']),
      {
        bind_addr: '127.0.0.1',
        https_port: await freePort(),
        http_port: 0,
        tls: { mode: 'manual', cert_path: manual.certPath, key_path: manual.keyPath },
        sites: [{ host: 'manual.example', upstream: '127.0.0.1:1' }],
      },
    ],
  }
  const configPath = writeConfig(directory, config)
  const before = await diagnose(configPath, pebble, '--json')
  assert.equal(before.code, 0, before.text)
  const verdicts = before.findings.map(({ check, verdict }) => `${check} ${verdict}`)
  assert.deepEqual(
    new Set(verdicts),
    new Set([
      'port ok',
      'name ok',
      'ca ok',
      'clock ok',
      'caa ok',
      'cache ok',
      'state ok',
      'last order ok',
      'contact warn',
      'certificate ok',
      'upstream warn',
      // The tests run as root, mostly, and then so would the workers.
      ...(process.getuid?.() === 0 ? ['configuration warn'] : []),
    ]),
  )
  assert.equal(existsSync(cacheDir), false, 'nothing has been made')
  assert.equal(pebble.requests('newOrder') + pebble.requests('newAccount'), 0, 'nothing has been ordered')

  const proxy = await startProxy(t, config, { directory })
  const running = await diagnose(configPath, pebble, '--json')
  assert.equal(running.code, 0, running.text)
  const ports = running.findings.filter(({ check }) => check === 'port')
  assert.equal(ports.length, 4)
  for (const { subject, message } of ports) {
    assert.equal(message, `held by the running proxy (pid ${proxy.pid})`, subject)
  }
  const cached = running.findings.find(
    ({ check, subject }) => check === 'certificate' && subject === cacheDir,
  )
  assert.match(cached?.message ?? '', /good\.example, www\.good\.example/u)
})

test('a machine that is not: every trouble is found in one go, with what to do', TEST, async (t) => {
  const pebble = await startPebble(t)
  const directory = temporaryDirectory(t)
  const cacheDir = join(directory, 'cache')
  const domains = ['good.example', 'gone.example', 'elsewhere.example', 'caa.example', 'sub.caa.example']
  await pebble.setAddresses('gone.example', [])
  await pebble.setAddresses('elsewhere.example', ['203.0.113.77'])
  const ca = await startAcmeFaultProxy(t, pebble)
  const hoursAhead = new Date(Date.now() + 3 * 3_600_000).toUTCString()
  ca.inject({ on: 'directory', answer: sayInDirectory(['pebble.example'], hoursAhead), times: Infinity })
  await pebble.setCaa('caa.example', [{ tag: 'issue', value: 'other-ca.example' }])
  const holder = net.createServer().listen(pebble.httpPort, '127.0.0.1')
  await once(holder, 'listening')
  t.after(() => holder.close())
  mkdirSync(cacheDir, { mode: 0o700 })
  writeFileSync(join(cacheDir, 'renewal.json'), '{}', { mode: 0o644 })
  chmodSync(join(cacheDir, 'renewal.json'), 0o644)
  const failure = {
    failures: 1,
    failedAtMs: Date.now(),
    nextAttemptMs: Date.now() + 3_600_000,
    reachedCa: true,
    directoryUrl: ca.directoryUrl,
    names: domains,
    failedNames: [],
    reason: 'rateLimited: too many',
  }
  writeFileSync(join(cacheDir, 'last-failure.json'), JSON.stringify(failure), { mode: 0o600 })
  const configPath = writeConfig(directory, { listeners: [listenerOf(pebble, cacheDir, domains, ca)] })
  const entries = readdirSync(cacheDir)

  const { code, findings, text } = await diagnose(configPath, pebble, '--json')
  assert.equal(code, 1)
  assert.deepEqual(
    pick(findings, 'port'),
    [
      [`127.0.0.1:${pebble.tlsPort}`, 'ok'],
      [`127.0.0.1:${pebble.httpPort}`, 'fail'],
    ],
    text,
  )
  const taken = findings.find(({ check, verdict }) => check === 'port' && verdict === 'fail')
  assert.match(taken?.message ?? '', new RegExp(`taken by .*${process.pid}`, 'u'))
  const names = new Map(pick(findings, 'name'))
  assert.equal(names.get('good.example'), 'ok')
  assert.equal(names.get('gone.example'), 'fail')
  assert.notEqual(names.get('elsewhere.example'), 'ok')
  const caa = new Map(pick(findings, 'caa'))
  assert.equal(caa.get('good.example'), 'ok')
  assert.deepEqual([caa.get('caa.example'), caa.get('sub.caa.example')], ['fail', 'fail'])
  assert.deepEqual(pick(findings, 'clock'), [[ca.directoryUrl, 'fail']])
  assert.deepEqual(pick(findings, 'cache'), [[cacheDir, 'warn']])
  assert.deepEqual(pick(findings, 'last order'), [[cacheDir, 'fail']])
  for (const { verdict, hint, subject } of findings)
    assert.equal(hint === undefined, verdict === 'ok', subject)
  assert.deepEqual(readdirSync(cacheDir), entries, 'nothing is left behind')
  assert.equal(pebble.requests('newOrder'), 0)

  await ca.down()
  await pebble.kill()
  const people = await diagnose(configPath, pebble)
  assert.equal(people.code, 1)
  assert.match(people.text, /^FAIL  ca .*cannot reach the ACME server/mu)
  assert.match(people.text, /^FAIL  name .*good\.example: does not resolve \(E/mu)
  assert.match(people.text, /\n\d+ of \d+ checks failed\n$/u)

  writeFileSync(configPath, 'nonsense = 1\n')
  const invalid = await diagnose(configPath, pebble, '--json')
  assert.equal(invalid.code, 1)
  assert.ok(
    invalid.findings.some(({ check, message }) => check === 'configuration' && /nonsense/u.test(message)),
  )
})
