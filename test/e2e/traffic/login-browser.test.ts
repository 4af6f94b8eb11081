// A browser at a site that a login page guards, and at one that asks for a password: it gets where it wanted to go.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openPage } from '../../harness/clients/browser.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin, valuesOf } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { startProxy } from '../../harness/proxy.ts'
import { TestCa } from '../../harness/tls-material.ts'

/** Chromium takes names under localhost for this machine. */
const DOMAIN = 'site.localhost'
const SESSION = 'session=ann'

test(
  'a browser logs in where it is sent, comes back, and answers a request for a password',
  { timeout: 120_000 },
  async (t) => {
    const httpsPort = await freePort()
    const urlOf = (name: string, path = '/'): string => `https://${name}.${DOMAIN}:${httpsPort}${path}`
    const service = await HttpOrigin.start(t, (incoming, response) => {
      const { pathname, searchParams } = new URL(incoming.url ?? '/', urlOf('auth'))
      const wanted = searchParams.get('rd') ?? ''
      if (pathname === '/verify') {
        const { cookie = '', 'x-forwarded-host': host, 'x-forwarded-uri': uri } = incoming.headers
        if (cookie.includes(SESSION)) response.setHeader('Remote-User', 'ann').end()
        else
          response
            .writeHead(302, {
              Location: `${urlOf('auth')}?rd=${encodeURIComponent(`https://${String(host)}${String(uri)}`)}`,
            })
            .end()
      } else if (pathname === '/in') {
        response
          .writeHead(302, {
            Location: wanted,
            'Set-Cookie': `${SESSION}; Domain=${DOMAIN}; Secure; HttpOnly`,
          })
          .end()
      } else {
        response
          .setHeader('Content-Type', 'text/html')
          .end(`<title>log in</title><a id="in" href="/in?rd=${encodeURIComponent(wanted)}">log in</a>`)
      }
    })
    const app = await HttpOrigin.start(t, (incoming, response) => {
      response.setHeader('Content-Type', 'text/html').end(`<title>app</title><p>${incoming.url}</p>`)
    })
    const usersPath = join(temporaryDirectory(t), 'users')
    writeFileSync(usersPath, execFileSync('htpasswd', ['-nbB', '-C', '5', 'ben', 'secret']))
    const ca = await TestCa.create(t)
    const leaf = await ca.issue(['auth', 'app', 'team'].map((name) => `${name}.${DOMAIN}`))
    const proxy = await startProxy(t, {
      workers: 1,
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: httpsPort,
          http_port: 0,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: [
            { host: `auth.${DOMAIN}`, upstream: service.upstream },
            {
              host: `app.${DOMAIN}`,
              upstream: app.upstream,
              forward_auth: { url: `http://${service.upstream}/verify`, copy_headers: ['Remote-User'] },
            },
            { host: `team.${DOMAIN}`, upstream: app.upstream, basic_auth_file: usersPath },
          ],
        },
      ],
    })

    const { page } = await openPage(t, urlOf('app', '/inbox?folder=1'))
    assert.equal(await page.title(), 'log in')
    assert.equal(app.requests.length, 0)
    await Promise.all([page.waitForURL(urlOf('app', '/inbox?folder=1')), page.click('#in')])
    assert.equal(await page.textContent('p'), '/inbox?folder=1')
    const [request] = app.requests.filter(({ target }) => target.startsWith('/inbox'))
    assert.ok(request !== undefined)
    assert.deepEqual(valuesOf(request, 'remote-user'), ['ann'])

    // It asks without a password first.
    const answered = await page.goto(urlOf('team', '/x').replace('https://', 'https://ben:secret@'))
    assert.equal(answered?.status(), 200)
    await proxy.stdout.waitForLine(/ REQUEST .* host=team\.site\.localhost .* path=\/x status=401 /u)
    const told = app.requests.findLast(({ target }) => target === '/x')
    assert.ok(told !== undefined)
    assert.deepEqual([valuesOf(told, 'remote-user'), valuesOf(told, 'authorization')], [['ben'], []])
  },
)
