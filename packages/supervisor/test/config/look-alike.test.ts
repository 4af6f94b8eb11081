// A file of another kind, given by mistake, is called by its name; a mistake in TOML is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lookAlike } from '../../src/config/document/look-alike.ts'

const FILES = {
  YAML: ['workers: 2\nlisteners:\n  - bind_addr: 127.0.0.1\n', '---\n# a comment\nhttp:\n  routers:\n'],
  JSON: ['{\n  "workers": 2\n}\n', '{}', '[ { "host": "a.example" } ]'],
  'an nginx.conf': [
    'worker_processes auto;\nevents { worker_connections 1024; }\nhttp {\n  server {\n    listen 443 ssl;\n  }\n}\n',
    'server {\n  server_name a.example;\n  location / { proxy_pass http://127.0.0.1:3000; }\n}\n',
    'upstream app {\n  server 127.0.0.1:3000;\n}\n',
  ],
  'a Caddyfile': [
    'a.example {\n\treverse_proxy 127.0.0.1:3000\n}\n',
    '{\n\temail me@a.example\n}\n\na.example, www.a.example {\n\tencode gzip\n\tfile_server\n}\n',
    'a.example\n\nreverse_proxy localhost:3000\nhandle {\n}\n',
  ],
  'an haproxy.cfg': [
    'global\n  daemon\ndefaults\n  mode http\n',
    'frontend web\n  bind :443 ssl crt /etc/ssl\n  default_backend app\nbackend app\n  server a 127.0.0.1:3000\n',
  ],
  'an Apache configuration': ['<VirtualHost *:443>\n  ServerName a.example\n</VirtualHost>\n'],
  'XML or HTML': ['<?xml version="1.0"?>\n<proxy/>\n', '<!doctype html>\n<title>404</title>\n'],
  'a certificate or key (PEM)': ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
}

for (const [name, texts] of Object.entries(FILES)) {
  test(`${name} in place of a configuration is called that, with a way out`, () => {
    for (const text of texts) {
      const found = lookAlike(text)
      assert.equal(found?.name, name, text)
      assert.notEqual(found.hint, '')
    }
  })
}

test('TOML with a mistake in it is still TOML', () => {
  const mistakes = [
    'workers = two\n',
    'workers: 2\n\n[rate_limit]\nrequests_per_second = 10\nburst = 20\n',
    '[[listeners]\nbind_addr = "127.0.0.1"\n',
    '[listeners.tls]\nmode = manual\n',
    'server = { a = 1\n',
    '[[listeners.sites]]\nhost = "a.example";\nupstream = "127.0.0.1:3000"\n',
    '',
  ]
  for (const text of mistakes) assert.equal(lookAlike(text), undefined, text)
})

test('a long file of nothing in particular costs no time: the supervisor looks at it during a reload', () => {
  const monotony = [
    '\n'.repeat(60_000),
    'reverse_proxy\n'.concat('a\n'.repeat(60_000)),
    'location x\n'.repeat(10_000),
    'listen a\n'.repeat(20_000),
    `location ${' '.repeat(60_000)}x`,
    'upstream a\n'.repeat(10_000),
  ]
  const before = process.cpuUsage()
  for (const text of monotony) lookAlike(`${text}{`)
  const { user } = process.cpuUsage(before)
  assert.ok(user < 5_000_000, `${user} us of processor time`)
})
