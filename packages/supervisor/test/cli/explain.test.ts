// explain, by a file: what people and programs read.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { explainRequest } from '../../src/cli/commands/explain.ts'
import type { CommandArgs, RequestFlags } from '../../src/cli/usage/table.ts'

const FILE = `
rate_limit = { requests_per_second = 10, burst = 20 }
body = { limit_bytes = 1000 }
ban = {}

[[listeners]]
bind_addr = "127.0.0.1"
https_port = 8443
http_port = 0
tls = { mode = "internal" }

[[listeners.sites]]
host = "a.example"
upstream = ["127.0.0.1:3000", "127.0.0.1:3001"]
response_headers = { X-A = "1", X-B = "" }
routes = [{ path = "/hello", respond = { body = "hi" } }, { path = "/office/", allow = ["10.0.0.0/8"] }]
`

test('explain by a file: a table for people, JSON for programs, one error with a hint', async (t) => {
  const path = join(temporaryDirectory(t), 'config.toml')
  writeFileSync(path, FILE)
  const ask = async (url: string, flags: Partial<RequestFlags> = {}, more: Partial<CommandArgs> = {}) => {
    const [out, err]: [string[], string[]] = [[], []]
    const request = { method: undefined, from: undefined, headers: [], ...flags }
    const args = { configFlag: path, allowWildcardBind: false, json: false, request, ...more }
    const sinks = [out, err].map((texts) => ({ write: (text: string) => texts.push(text) }))
    const code = await explainRequest([url], args, sinks[0], sinks[1])
    return { code, out: out.join(''), err: err.join('') }
  }

  const forwarded = await ask('https://a.example:8443/x', { method: 'POST', headers: ['Accept:  */*'] })
  assert.equal(forwarded.code, 0, forwarded.err)
  assert.match(forwarded.out, /^STEP +GOES ON +WHY\nlistener +yes +127\.0\.0\.1 port 8443\n/u)
  assert.match(
    forwarded.out,
    /\nconnection +yes +from 192\.0\.2\.1; only the running proxy knows whether it is banned\n/u,
  )
  assert.match(forwarded.out, /\ncertificate +yes +from the internal CA, for a\.example\n/u)
  assert.match(
    forwarded.out,
    /\nTo http:\/\/127\.0\.0\.1:3000 or http:\/\/127\.0\.0\.1:3001:\n {2}POST \/x\n {2}Host: a\.example:8443\n {2}Accept: \*\/\*\n/iu,
  )
  assert.match(forwarded.out, /\nOn its response:\n {2}set X-A: 1\n {2}remove X-B\n$/u)

  const answered = await ask('https://a.example:8443/hello')
  assert.match(answered.out, /\nroute +\/hello\n\nResponse of the proxy:\n {2}200\n[^]*\n {2}hi\n$/u)
  const refused = await ask('https://a.example:8443/office/', { from: '203.0.113.5' }, { json: true })
  const { response, steps } = JSON.parse(refused.out)
  assert.deepEqual(
    [response.status, steps.at(-1)],
    [403, { step: 'access', passes: false, why: 'the address is not admitted' }],
  )
  assert.match(
    (await ask('https://a.example:8443/office/', { from: '10.1.2.3' })).out,
    /\naccess +yes +allowed \(10/u,
  )

  for (const [url, flags, message] of [
    ['a.example', {}, /^error: a\.example is not an absolute URL\n {4}hint: write https:\/\/HOST\/PATH\n$/u],
    ['https://a.example', { from: 'home' }, /^error: --from home is not an IP address\n {4}hint: /u],
    [
      'https://a.example',
      { headers: ['no field'] },
      /^error: --header "no field" is not a header field\n {4}hint: /u,
    ],
    ['https://a.example', { method: 'G T' }, /^error: --method G T is not a method\n {4}hint: /u],
  ] as const) {
    const { code, err } = await ask(url, flags)
    assert.equal(code, 1)
    assert.match(err, message)
  }
  writeFileSync(path, FILE.replace('8443', '0'))
  const broken = await ask('https://a.example/')
  assert.equal(broken.code, 1)
  assert.match(broken.err, /config\.toml:8:1 error HTTPS_PORT_INVALID /u)
})
