// What can be asked of a CA beyond a certificate: a kind of key, a profile, a chain. Whole orders, at a real CA.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import type { KeyType } from '@reverse-proxy/shared/config/config'
import { mayReplace } from '../../packages/supervisor/src/certificates/acme-client/replaces.ts'
import { CaScene } from '../harness/certificates/ca-scene.ts'

const TEST = { timeout: 120_000 }
const DAY_MS = 24 * 60 * 60 * 1000

const KEYS: Readonly<Record<KeyType, object>> = {
  'ecdsa-p256': { namedCurve: 'prime256v1' },
  'ecdsa-p384': { namedCurve: 'secp384r1' },
  'rsa-2048': { modulusLength: 2048, publicExponent: 65_537n },
  'rsa-4096': { modulusLength: 4096, publicExponent: 65_537n },
}

test('acme settings: a real CA', TEST, async (t) => {
  const scene = await CaScene.start(t)
  const { ca } = scene

  await t.test(
    'acme settings: every kind of key that can be configured is the key that is served',
    TEST,
    async (st) => {
      for (const keyType of ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-4096'] as const) {
        const [served] = (await scene.enter(st, { keyType }).attempt()).current()
        assert.deepEqual(
          new X509Certificate(served?.certPem ?? '').publicKey.asymmetricKeyDetails,
          KEYS[keyType],
          keyType,
        )
      }
    },
  )

  await t.test('acme settings: a profile that the CA has is asked for', TEST, async (st) => {
    ca.profiles = { shortlived: 'six days', classic: 'as ever' }
    const life = scene.enter(st, { profile: 'shortlived' })
    await life.attempt()
    assert.equal(ca.requestsOf('newOrder').at(-1)?.profile, 'shortlived')
  })

  await t.test(
    'acme settings: one that it does not have is an error that names those it has; nothing is ordered, and mending it costs no waiting',
    TEST,
    async (st) => {
      const life = scene.enter(st, { profile: 'shortlife' })
      for (const [profiles, hint] of [
        [{ shortlived: 'six days', classic: 'as ever' }, /one of its own: shortlived, classic$/u],
        [{}, /no profiles: remove tls\.acme_profile/u],
      ] as const) {
        ca.profiles = profiles
        await assert.rejects(life.attempt(), {
          code: 'ACME',
          message: 'the CA has no profile "shortlife"',
          hint,
        })
      }
      assert.equal(life.newOrders(), 0)
      await life.attempt({ profile: undefined })
      assert.equal(life.newOrders(), 1)
    },
  )

  await t.test(
    'acme settings: a preferred chain that the CA does not offer is no reason to have none',
    TEST,
    async (st) => {
      const manager = await scene.enter(st, { preferredChain: 'No Such Root' }).attempt()
      assert.equal(manager.current().length, 1)
    },
  )
})

test('replaces: of the same directory, the same account and a common name; never of anything less', () => {
  const facts = { names: ['a.example'], serial: '01', issuer: 'CA', notBeforeMs: 0, notAfterMs: DAY_MS }
  const certificate = {
    certPem: '',
    keyPem: '',
    facts,
    origin: 'https://ca.example/directory',
    accountUrl: 'https://ca.example/1',
    obtainedMs: 0,
  }
  const successor = {
    directoryUrl: certificate.origin,
    accountUrl: certificate.accountUrl,
    names: ['a.example', 'b.example'],
  }
  assert.equal(mayReplace(certificate, successor), true)
  assert.equal(mayReplace(certificate, { ...successor, directoryUrl: 'https://ca.example/staging' }), false)
  assert.equal(mayReplace(certificate, { ...successor, accountUrl: 'https://ca.example/2' }), false)
  assert.equal(mayReplace(certificate, { ...successor, names: ['b.example'] }), false)
  assert.equal(
    mayReplace({ ...certificate, accountUrl: undefined }, { ...successor, accountUrl: undefined }),
    false,
  )
})
