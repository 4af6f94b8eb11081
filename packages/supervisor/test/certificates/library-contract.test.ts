// The internals of acme-client and proper-lockfile that we rely on or replace. Each test is named for one of them: a
// version that changes it fails here first.
import assert from 'node:assert/strict'
import { createHmac, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import fs from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import http from 'node:http'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { callbackify } from 'node:util'
import acme from 'acme-client'
import lockfile from 'proper-lockfile'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { isRecord } from '@reverse-proxy/shared/json'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { signedBody } from '../../src/certificates/acme-client/transport/signature.ts'
import { loadAcmeClient } from '../../src/certificates/acme-client/transport/library.ts'

const TEST = { timeout: 30_000 }
const ORDER_URL = 'https://ca.example/new-order'

function signer(): { readonly client: acme.Client; readonly isSigned: (body: object) => boolean } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const accountKey = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const client = new acme.Client({ directoryUrl: 'https://ca.example/directory', accountKey })
  const isSigned = (body: object): boolean => {
    const { protected: head, payload, signature } = partsOf(body)
    const key = { key: createPublicKey(privateKey), dsaEncoding: 'ieee-p1363' as const }
    return verify('sha256', Buffer.from(`${head}.${payload}`), key, Buffer.from(signature, 'base64url'))
  }
  return { client, isSigned }
}

function partsOf(body: unknown): { protected: string; payload: string; signature: string } {
  const { protected: head, payload, signature } = isRecord(body) ? body : {}
  return { protected: String(head), payload: String(payload), signature: String(signature) }
}

function decode(part: string): Record<string, unknown> {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
  assert.ok(isRecord(value))
  return value
}

test('acme-client http.createSignedBody signs with the URL of the account, or with the bare key', () => {
  const { client, isSigned } = signer()
  const accountUrl = 'https://ca.example/account/1'
  const options = { nonce: 'n', externalAccount: undefined }
  const byAccount = signedBody(client, ORDER_URL, { a: 1 }, { ...options, signer: { accountUrl } })
  assert.ok(isSigned(byAccount))
  const head = { alg: 'ES256', nonce: 'n', url: ORDER_URL }
  assert.deepEqual(decode(partsOf(byAccount).protected), { ...head, kid: accountUrl })
  assert.deepEqual(decode(partsOf(byAccount).payload), { a: 1 })

  const byKey = signedBody(client, ORDER_URL, {}, { ...options, signer: { bindExternalAccount: false } })
  assert.ok(isSigned(byKey))
  const { jwk, ...rest } = decode(partsOf(byKey).protected)
  assert.deepEqual(rest, head)
  assert.ok(isRecord(jwk) && jwk['kty'] === 'EC' && jwk['d'] === undefined)
})

test('acme-client http.createSignedBody makes a POST-as-GET of a null payload', () => {
  const { client, isSigned } = signer()
  const body = signedBody(client, ORDER_URL, null, {
    signer: { accountUrl: 'https://ca.example/account/1' },
    nonce: 'n',
    externalAccount: undefined,
  })
  assert.equal(partsOf(body).payload, '')
  assert.ok(isSigned(body))
})

test('acme-client http.createSignedHmacBody and getJwk bind an external account', () => {
  const { client } = signer()
  const hmacKey = Buffer.from('a secret of 32 bytes for an HMAC').toString('base64url')
  const body = signedBody(
    client,
    ORDER_URL,
    {},
    {
      signer: { bindExternalAccount: true },
      nonce: 'n',
      externalAccount: { kid: 'k1', hmacKey },
    },
  )
  const binding = partsOf(decode(partsOf(body).payload)['externalAccountBinding'])
  assert.deepEqual(decode(binding.protected), { alg: 'HS256', kid: 'k1', url: ORDER_URL })
  assert.deepEqual(decode(binding.payload), decode(partsOf(body).protected)['jwk'])
  const mac = createHmac('sha256', Buffer.from(hmacKey, 'base64url'))
  const expected = mac.update(`${binding.protected}.${binding.payload}`).digest('base64url')
  assert.equal(binding.signature, expected)
})

test('acme-client getChallengeKeyAuthorization needs type and token alone: token.thumbprint', async () => {
  const { client } = signer()
  const text = await client.getChallengeKeyAuthorization({
    type: 'http-01',
    token: 'a-token',
    url: '',
    status: 'pending',
  })
  assert.match(text, /^a-token\.[\w-]{43}$/u)
})

async function serve(t: TestContext, handler: http.RequestListener): Promise<string> {
  const server = http.createServer(handler)
  const port = await listen(t, server)
  t.after(() => server.closeAllConnections())
  return `http://127.0.0.1:${port}/`
}

test(
  'acme-client axios without its interceptors sends a request once, whatever the response',
  TEST,
  async (t) => {
    const { axios } = await loadAcmeClient()
    let requests = 0
    const url = await serve(t, (_, response) => {
      requests++
      response.writeHead(503, { 'Retry-After': '1', 'Replay-Nonce': 'n1' }).end('{"type":"x"}')
    })
    const response = await axios.request({ url, validateStatus: null, maxRedirects: 0 })
    assert.equal(requests, 1)
    assert.equal(response.status, 503)
    assert.deepEqual(response.data, { type: 'x' })
    // Names of header fields are in lower case.
    assert.equal(response.headers['replay-nonce'], 'n1')
  },
)

test('acme-client axios with maxRedirects 0 hands a redirection to its caller', TEST, async (t) => {
  const url = await serve(t, (_, response) => response.writeHead(302, { Location: '/other' }).end())
  const response = await acme.axios.request({ url, validateStatus: null, maxRedirects: 0 })
  assert.deepEqual([response.status, response.headers['location']], [302, '/other'])
})

test('acme-client axios says ERR_BAD_RESPONSE of a body beyond maxContentLength', TEST, async (t) => {
  const url = await serve(t, (_, response) => response.end('x'.repeat(1_000)))
  const request = acme.axios.request({ url, maxContentLength: 100, decompress: false })
  await assert.rejects(request, { code: 'ERR_BAD_RESPONSE' })
})

test('acme-client axios says ERR_CANCELED of a request that its signal ends', TEST, async (t) => {
  const stop = new AbortController()
  const url = await serve(t, () => stop.abort())
  await assert.rejects(acme.axios.request({ url, signal: stop.signal }), { code: 'ERR_CANCELED' })
})

test(
  'proper-lockfile makes, touches and removes a lock by the functions that it is given',
  TEST,
  async (t) => {
    const directory = temporaryDirectory(t)
    const path = join(directory, 'lock')
    const calls: string[] = []
    const noted = <Result>(name: string, work: (one: string) => Promise<Result>) =>
      callbackify(async (one: string) => {
        calls.push(name)
        return await work(one)
      })
    const release = await lockfile.lock(directory, {
      lockfilePath: path,
      stale: Infinity,
      update: 1_000,
      fs: {
        ...fs,
        mkdir: noted('mkdir', async (one) => await mkdir(one)),
        stat: noted('stat', async (one) => await fs.promises.lstat(one)),
        utimes: (one: string, accessed: Date, modified: Date, done: fs.NoParamCallback) => {
          calls.push('utimes')
          fs.utimes(one, accessed, modified, done)
        },
        rmdir: noted('rmdir', async (one) => await fs.promises.rmdir(one)),
      },
    })
    assert.equal(calls[0], 'mkdir')
    const made = calls.length
    await waitFor('an update', () => calls.slice(made).includes('utimes'), 20_000)
    await release()
    assert.equal(calls.at(-1), 'rmdir')
    assert.deepEqual(await readdir(directory), [])
  },
)

test('proper-lockfile passes on the error of mkdir, ELOCKED among them', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const locking = lockfile.lock(directory, {
    lockfilePath: join(directory, 'lock'),
    fs: {
      ...fs,
      mkdir: callbackify(async (_path: string) => {
        throw Object.assign(new Error('taken'), { code: 'ELOCKED' })
      }),
    },
  })
  await assert.rejects(locking, { message: 'taken', code: 'ELOCKED' })
})

test('proper-lockfile with stale Infinity takes over no lock, however old', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const lockfilePath = join(directory, 'lock')
  await mkdir(lockfilePath)
  await fs.promises.utimes(lockfilePath, 0, 0)
  await assert.rejects(lockfile.lock(directory, { lockfilePath, stale: Infinity }), { code: 'ELOCKED' })
})

test('proper-lockfile tells onCompromised of a lock that is gone, and throws nothing', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const lockfilePath = join(directory, 'lock')
  const lost = Promise.withResolvers<Error>()
  await lockfile.lock(directory, { lockfilePath, update: 1_000, onCompromised: lost.resolve })
  await fs.promises.rmdir(lockfilePath)
  assert.equal(codeOf(await lost.promise), 'ECOMPROMISED')
})
