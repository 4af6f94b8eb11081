import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import * as fc from 'fast-check'
import { renderPage } from '../../src/welcome/page.ts'
import { pairHeaders, prefersHtml } from '../../src/welcome/request-view.ts'
import { startWelcome } from '../../src/welcome/server.ts'

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

async function start(t: TestContext): Promise<string> {
  const welcome = await startWelcome(3)
  t.after(() => welcome.close())
  assert.equal(welcome.host, '127.0.0.1')
  return `http://${welcome.host}:${welcome.port}`
}

test('welcome: programs get the request as JSON, header fields in the order they came', async (t) => {
  const headers = ['Host', 'a.test', 'X-First', '1', 'x-second', '2', 'X-First', '3', 'Content-Length', '5']
  const sent = request(await start(t), { method: 'POST', path: '/a//b/../c?q=%2F', headers, agent: false })
  sent.end('hello')
  const [response]: IncomingMessage[] = await once(sent, 'response')
  assert.ok(response)
  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  assert.deepEqual(await json(response), {
    method: 'POST',
    path: '/a//b/../c?q=%2F',
    httpVersion: '1.1',
    headers: pairHeaders([...headers, 'Connection', 'close']),
    bodyBytes: 5,
    worker: 3,
  })
})

test('welcome: a browser gets a page that loads nothing and whose policy allows nothing else', async (t) => {
  const url = await start(t)
  const response = await fetch(url, { headers: { accept: BROWSER } })
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8')
  const page = await response.text()
  const style = /<style>([^]*?)<\/style>/.exec(page)?.[1] ?? ''
  const hash = createHash('sha256').update(style).digest('base64')
  const policy = response.headers.get('content-security-policy') ?? ''
  assert.ok(policy.startsWith("default-src 'none'; "))
  assert.ok(policy.includes(`style-src 'sha256-${hash}'`), 'the hash is that of the style sheet')
  assert.doesNotMatch(
    page,
    /<script|\son\w+=|\sstyle=|<img|<iframe|<form|href="(?!data:)|\bsrc=|@import|url\(/i,
  )
})

test('welcome: HEAD has the same header and no body', async (t) => {
  const url = await start(t)
  const response = await fetch(url, { method: 'HEAD' })
  assert.equal(response.status, 200)
  assert.ok(Number(response.headers.get('content-length')) > 0)
  assert.equal(await response.text(), '')
})

test('welcome: Accept decides; a program that accepts anything is a program', () => {
  for (const accept of [BROWSER, 'text/html', 'application/json;q=0.5, text/html', 'TEXT/HTML;q=0.9']) {
    assert.equal(prefersHtml(accept), true, accept)
  }
  const programs: (string | undefined)[] = [
    undefined,
    '',
    '*/*',
    'application/json',
    'text/html;q=0.2, application/json',
    'text/html;q=0',
    'text/*',
  ]
  for (const accept of programs) assert.equal(prefersHtml(accept), false, String(accept))
})

test('welcome: nothing a client sends becomes markup', () => {
  const hostile = fc.oneof(
    fc.constantFrom(
      '<script>alert(1)</script>',
      '"><img src=x onerror=alert(1)>',
      "' autofocus onfocus=alert(1) x='",
      '</td></tr></table><h1>gone</h1>',
      '</style><style>*{display:none}',
      '&lt;b&gt;',
      '$(reboot)`reboot`;reboot',
    ),
    fc.string(),
  )
  const header = fc.record({ name: fc.oneof(fc.constant('Host'), hostile), value: hostile })
  const plain = { method: '', path: '', httpVersion: '1.1', bodyBytes: 0, worker: 1 }
  fc.assert(
    fc.property(
      hostile,
      hostile,
      fc.array(header, { minLength: 1, maxLength: 8 }),
      (method, path, headers) => {
        const page = renderPage({ ...plain, method, path, headers })
        const same = headers.map(({ name }) => ({
          name: /^(host|x-(real|forwarded)-\w+)$/i.test(name) ? name : 'x',
          value: 'x',
        }))
        const expected = renderPage({ ...plain, method: 'x', path: 'x', headers: same })
        assert.deepEqual(tagsOf(page), tagsOf(expected))
      },
    ),
  )
})

test('welcome: a host that a shell could misread is not repeated in a command', () => {
  const page = renderPage({
    method: 'GET',
    path: '/',
    httpVersion: '1.1',
    headers: pairHeaders(['Host', "a'; reboot #"]),
    bodyBytes: 0,
    worker: 1,
  })
  assert.match(page, /curl -k .* https:\/\/localhost:8443\/</)
})

function tagsOf(page: string): string[] {
  return page.match(/<[^>]*>/g) ?? []
}
