// What `doctor` makes of what it finds: every judge, over reports that no machine needs to give.
import assert from 'node:assert/strict'
import type { CaaRecord } from 'node:dns'
import { test } from 'node:test'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { DAY_MS, MINUTE_MS } from '@reverse-proxy/shared/time-units'
import { nextFailure } from '../../src/certificates/renewal/failure-record.ts'
import { AcmeError } from '../../src/certificates/acme-client/transport/problem.ts'
import type { Finding } from '../../src/cli/doctor/finding.ts'
import { caaIdentitiesOf, checkCa, checkClock } from '../../src/cli/doctor/check-ca.ts'
import { climb, checkCaa, checkName } from '../../src/cli/doctor/check-names.ts'
import { contactDomain, checkContact } from '../../src/cli/doctor/check-ca.ts'
import { checkPort } from '../../src/cli/doctor/check-endpoints.ts'
import {
  isUsableCache,
  checkCached,
  checkDirectory,
  checkManual,
  checkLastOrder,
} from '../../src/cli/doctor/check-storage.ts'
import { renderFindings } from '../../src/cli/doctor/finding.ts'

const NOW_MS = Date.parse('2026-01-01T00:00:00Z')

const SETTINGS: AcmeSettings = {
  mode: 'acme',
  domains: ['a.example'],
  cacheDir: '/cache',
  directoryUrl: 'https://ca.test/dir',
  contact: 'mailto:you@site.org',
  challenge: 'tls-alpn-01',
  caFile: undefined,
  eab: undefined,
  keyType: 'ecdsa-p256',
  profile: undefined,
  preferredChain: undefined,
}

/** Verdict, message and hint must all say what they should. */
function assertFinding({ status, message, hint }: Finding, expected: Finding['status'], text: RegExp): void {
  assert.equal(status, expected, message)
  assert.match(`${message} | ${hint ?? ''}`, text)
  assert.equal(hint === undefined, status === 'ok', 'whatever is not well says what to do')
}

test('names: they must resolve, to this machine, to where the listener listens', () => {
  const local = ['127.0.0.1', '203.0.113.5', '2001:db8::5']
  const check = (found: readonly string[], bindAddrs: readonly string[], addresses = local): Finding =>
    checkName('a.example', { found }, { bindAddrs }, addresses)

  assertFinding(check(['203.0.113.5'], ['203.0.113.5']), 'ok', /203\.0\.113\.5/u)
  assertFinding(check(['203.0.113.5', '2001:db8::5'], ['0.0.0.0', '::']), 'ok', /2001:db8::5/u)
  assertFinding(check(['127.0.0.9'], ['0.0.0.0']), 'ok', /127\.0\.0\.9/u)
  assertFinding(check(['2001:DB8:0::5'], ['2001:db8::5']), 'ok', /2001:db8::5/u)
  assertFinding(
    check(['198.51.100.1'], ['0.0.0.0']),
    'fail',
    /not an address of this machine.*203\.0\.113\.5/u,
  )
  assertFinding(check(['198.51.100.1'], ['10.0.0.2'], ['127.0.0.1', '10.0.0.2']), 'warn', /forwards ports/u)
  assertFinding(
    check(['203.0.113.5', '2001:db8::bad'], ['203.0.113.5']),
    'warn',
    /2001:db8::bad.*IPv6 first/u,
  )
  assertFinding(check(['203.0.113.5', '2001:db8::5'], ['203.0.113.5']), 'fail', /2001:db8::5.*bind_addr/u)
  assertFinding(check(['203.0.113.5'], ['::']), 'fail', /does not listen/u)
  assertFinding(check([], ['::']), 'fail', /no address/u)
  const nowhere = checkName('a.example', { fault: 'ENOTFOUND' }, { bindAddrs: ['::'] }, local)
  assertFinding(nowhere, 'fail', /ENOTFOUND.*A or AAAA/u)
})

test('CAA: the first name with records decides, going up', () => {
  assert.deepEqual(climb('a.b.example'), ['a.b.example', 'b.example', 'example'])
  assert.deepEqual(climb('*.b.example'), ['b.example', 'example'])
})

function checkRecords(found: readonly CaaRecord[], identities = ['ca.test']): Finding {
  const question = { name: 'a.example', at: 'example', challenge: 'tls-alpn-01' } as const
  return checkCaa({ ...question, records: { found }, identities })
}

function issue(value: string): CaaRecord {
  return { critical: 0, issue: value }
}

test('CAA: who may issue, by which challenge', () => {
  assertFinding(checkRecords([]), 'ok', /no CAA record/u)
  assertFinding(checkRecords([{ critical: 0, iodef: 'mailto:x@y.z' }]), 'ok', /no CAA record/u)
  assertFinding(
    checkRecords([issue('other.test'), issue(' CA.test ; accounturi=https://x')]),
    'ok',
    /allow the CA/u,
  )
  assertFinding(
    checkRecords([issue('other.test')]),
    'fail',
    /"other\.test" alone.*example\. CAA 0 issue "ca\.test"/u,
  )
  assertFinding(checkRecords([issue(';')]), 'fail', /add the record/u)
  assertFinding(
    checkRecords([issue('ca.test; validationmethods=http-01,dns-01')]),
    'fail',
    /tls-alpn-01.*acme_challenge/u,
  )
  assertFinding(
    checkRecords([issue('ca.test; validationmethods=http-01, tls-alpn-01')]),
    'ok',
    /allow the CA/u,
  )
  assertFinding(checkRecords([issue('x.test')], []), 'warn', /does not report its name/u)
  assertFinding(checkRecords([{ critical: 128 }]), 'fail', /critical/u)
  const fault = { name: 'a.example', at: 'example', identities: [], challenge: 'http-01' } as const
  assertFinding(checkCaa({ ...fault, records: { fault: 'ESERVFAIL' } }), 'fail', /ESERVFAIL.*name server/u)
})

test('the CA: external accounts and profiles', () => {
  const check = (meta: Readonly<Record<string, unknown>>, settings = SETTINGS): Finding =>
    checkCa(settings, { meta, dateMs: undefined })
  assertFinding(check({}), 'ok', /reachable/u)
  assertFinding(check({ externalAccountRequired: true }), 'fail', /acme_eab_kid/u)
  const bound = { ...SETTINGS, eab: { kid: 'k', hmacFile: '/h' } }
  assertFinding(check({ externalAccountRequired: true }, bound), 'ok', /reachable/u)
  const short = { ...SETTINGS, profile: 'short' }
  assertFinding(check({ profiles: { classic: 'x' } }, short), 'fail', /"short".*classic/u)
  assertFinding(check({ profiles: { short: 'x' } }, short), 'ok', /reachable/u)
  assert.deepEqual(caaIdentitiesOf({ meta: { caaIdentities: ['CA.test', 7] }, dateMs: 0 }), ['ca.test'])
  assert.deepEqual(caaIdentitiesOf({ meta: { caaIdentities: 'CA.test' }, dateMs: 0 }), [])
})

test('the clock, by the Date of the CA', () => {
  const check = (dateMs: number | undefined): Finding => checkClock(SETTINGS, { meta: {}, dateMs }, NOW_MS)
  assertFinding(check(undefined), 'ok', /does not report its time/u)
  assertFinding(check(NOW_MS - MINUTE_MS), 'ok', /agrees/u)
  assertFinding(check(NOW_MS + 10 * MINUTE_MS), 'warn', /10 min behind.*set-ntp/u)
  assertFinding(check(NOW_MS - 365 * DAY_MS), 'fail', /8760 h ahead/u)
})

test('ports: free, taken, forbidden, ours, cut off', () => {
  const question = { address: '::1', port: 443, heldByProxy: undefined, connects: false }
  const taken = {
    state: 'refused',
    code: 'EADDRINUSE',
    message: 'taken by nginx',
    hint: 'stop that',
  } as const
  const free = checkPort({ ...question, state: { state: 'free' } })
  assertFinding(free, 'ok', /bound and reached/u)
  assert.equal(free.subject, '[::1]:443')
  assertFinding(checkPort({ ...question, state: { state: 'unreachable' } }), 'warn', /firewall/u)
  assertFinding(checkPort({ ...question, state: taken }), 'fail', /taken by nginx.*stop that/u)
  const ours = { ...question, state: taken, heldByProxy: 7 }
  assertFinding(checkPort({ ...ours, connects: true }), 'ok', /running proxy \(pid 7\)/u)
  assertFinding(checkPort(ours), 'warn', /not reachable/u)
  const denied = { ...taken, code: 'EACCES', message: 'needs more rights', hint: 'start as root' }
  assertFinding(checkPort({ ...ours, state: denied }), 'fail', /needs more rights/u)
})

test('directories: writable, and for nobody else', () => {
  const state = { path: '/cache', exists: true, fault: undefined, exposed: [] }
  assertFinding(checkDirectory('cache', '/cache', state), 'ok', /is writable and private/u)
  assertFinding(
    checkDirectory('cache', '/cache', { ...state, exists: false, path: '/' }),
    'ok',
    /will be created in \//u,
  )
  const exposed = { ...state, exposed: ['current/key.pem', 'x'] }
  assertFinding(checkDirectory('cache', '/cache', exposed), 'warn', /current\/key\.pem and 1 more.*chmod/u)
  const fault = { message: 'read-only', hint: 'choose another' }
  assertFinding(checkDirectory('cache', '/cache', { ...state, fault }), 'fail', /read-only.*choose/u)
})

test('rate-limit memory: a start that would be refused is a failure, a retry that waits is a warning', () => {
  const failure = nextFailure(new AcmeError('rateLimited: too many', { reachedCa: true }), {
    order: { directoryUrl: SETTINGS.directoryUrl, names: SETTINGS.domains },
    previous: undefined,
    validity: undefined,
    isOrdered: false,
    excluded: [],
    nowMs: NOW_MS,
    certificateTimeMs: NOW_MS,
    jitter: 0,
  })
  assertFinding(checkLastOrder(SETTINGS, undefined, false, NOW_MS), 'ok', /no failure/u)
  assertFinding(checkLastOrder(SETTINGS, failure, false, NOW_MS), 'fail', /too many.*2026-01-01T00:01:00/u)
  assertFinding(checkLastOrder(SETTINGS, failure, true, NOW_MS), 'warn', /too many/u)
  assertFinding(
    checkLastOrder(SETTINGS, { ...failure, reachedCa: false }, false, NOW_MS),
    'warn',
    /too many/u,
  )
  assertFinding(checkLastOrder(SETTINGS, failure, false, NOW_MS + MINUTE_MS), 'ok', /is due/u)
  const other = { ...SETTINGS, domains: ['b.example'] }
  assertFinding(checkLastOrder(other, failure, false, NOW_MS), 'ok', /no failure/u)
})

test('certificates: their dates, and what is wrong with the pair', () => {
  const facts = {
    names: ['a.example'],
    serial: '0A',
    issuer: 'A CA',
    notBeforeMs: NOW_MS,
    notAfterMs: NOW_MS + 90 * DAY_MS,
  }
  const check = (nowMs: number): Finding => checkManual('/cert.pem', { ok: true, certPem: '', facts }, nowMs)
  assertFinding(check(NOW_MS), 'ok', /90 days: a\.example/u)
  assertFinding(check(NOW_MS + 76 * DAY_MS), 'warn', /expires in 14 days.*renew it/u)
  assertFinding(check(NOW_MS + 90 * DAY_MS), 'fail', /expired at 2026-04-01/u)
  assertFinding(check(NOW_MS - 1), 'fail', /not valid before.*clock/u)
  const mismatch = { ok: false, reason: 'no match', isTooWeak: false } as const
  assertFinding(checkManual('/c', mismatch, NOW_MS), 'fail', /no match.*pair/u)

  const cached = { ok: true, certPem: '', facts } as const
  assertFinding(checkCached(SETTINGS, undefined, NOW_MS), 'ok', /none yet/u)
  assertFinding(checkCached(SETTINGS, cached, NOW_MS), 'ok', /90 days/u)
  assertFinding(checkCached(SETTINGS, cached, NOW_MS + 90 * DAY_MS), 'warn', /expired.*orders another/u)
  assertFinding(checkCached(SETTINGS, mismatch, NOW_MS), 'warn', /no match.*quarantines/u)
  const more = { ...SETTINGS, domains: ['a.example', 'b.example', 'c.example'] }
  assertFinding(checkCached(more, cached, NOW_MS), 'warn', /90 days.*lacks b\.example, c\.example .*ordered/u)
  assert.equal(isUsableCache(more, cached, NOW_MS), true)
  const others = { ...SETTINGS, domains: ['b.example'] }
  assertFinding(
    checkCached(others, cached, NOW_MS),
    'warn',
    /none of the configured names.*a\.example.*fails/u,
  )
  assert.equal(isUsableCache(others, cached, NOW_MS), false)
  assert.equal(isUsableCache(SETTINGS, cached, NOW_MS + 90 * DAY_MS), false)
})

function checkAddress(contact: string, receivesMail = true): Finding {
  return checkContact({ contact }, receivesMail)
}

test('the contact: one address, where mail goes', () => {
  assertFinding(checkAddress('mailto:you@Site.org'), 'ok', /site\.org/u)
  assertFinding(checkAddress('mailto:you@site.org', false), 'warn', /no mail/u)
  assertFinding(checkAddress('mailto:you@mail.example.com'), 'warn', /reserved/u)
  for (const bad of ['mailto:you', 'mailto:a@b.org,c@d.org', 'mailto:a@b.org?subject=x', 'https://x']) {
    assertFinding(checkAddress(bad), 'fail', /is not a mail address/u)
    assert.equal(contactDomain({ contact: bad }), undefined)
  }
})

test('the report: one line each, the hint below, and a sum', () => {
  const well: Finding = { check: 'port', subject: '[::1]:443', status: 'ok', message: 'can be bound' }
  const bad: Finding = { check: 'name', subject: 'a\u001b', status: 'fail', message: 'no', hint: 'do' }
  assert.equal(
    renderFindings([well, bad]),
    'ok    port  [::1]:443: can be bound\nFAIL  name  a?: no\n            hint: do\n\n1 of 2 checks failed\n',
  )
  assert.match(renderFindings([well]), /all 1 checks passed\n$/u)
  assert.match(renderFindings([well, { ...bad, status: 'warn' }]), /\n1 warning\n$/u)
})
