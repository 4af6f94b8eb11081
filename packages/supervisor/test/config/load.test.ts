// A good file becomes the configuration that the program uses; a file that cannot be had is one clear error.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFile, link, mkdir, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSocketPathTooLong } from '../../src/os/socket-file.ts'
import { ConfigErrors, type LocatedIssue } from '../../src/config/document/config-errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ReadError, readSmallFile } from '../../src/os/read-file.ts'
import { HEAD, makeDirectory, OPTIONS, writeCertificates, writeConfig } from '../support/config-directory.ts'

const TIMEOUT = { timeout: 10_000 }

const LISTENER = `
[[listeners]]
bind_addr = "127.0.0.1"
tls = { mode = "internal" }
sites = [{ host = "a.example", upstream = "127.0.0.1:3000" }]
`

async function issuesOf(path: string): Promise<readonly LocatedIssue[]> {
  const error: unknown = await loadConfig(path, OPTIONS).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof ConfigErrors)
  assert.equal(error.code, 'CONFIG')
  return error.issues
}

test(
  'root without a user for the workers is a warning; with one, or without root, there is none',
  TIMEOUT,
  async (t) => {
    const directory = await makeDirectory(t)
    const warningsOf = async (head: string, isRoot: boolean) => {
      const options = { ...OPTIONS, environment: { ...OPTIONS.environment, isRoot } }
      const { warnings } = await loadConfig(await writeConfig(directory, head + HEAD + LISTENER), options)
      return warnings.map(({ code, path, severity }) => ({ code, path, severity }))
    }
    assert.deepEqual(await warningsOf('', true), [
      { code: 'WORKERS_AS_ROOT', path: 'user', severity: 'warning' },
    ])
    assert.deepEqual(await warningsOf('user = "nobody"\n', true), [])
    assert.deepEqual(await warningsOf('', false), [])
  },
)

test('what is not written has the documented default', TIMEOUT, async (t) => {
  const path = await writeConfig(await makeDirectory(t), HEAD + LISTENER)
  const { config, warnings } = await loadConfig(path, OPTIONS)
  assert.deepEqual(warnings, [])
  assert.deepEqual(config, {
    workers: 'auto',
    user: undefined,
    group: undefined,
    stateDir: '/home/test/.local/state/reverse-proxy',
    allowWildcardBind: false,
    healthCheckPort: 9900,
    adminSocketPath: '/home/test/.local/state/reverse-proxy/admin.sock',
    shutdownTimeoutMs: 30_000,
    recycle: { maxRssBytes: undefined, maxAgeMs: undefined },
    logging: { level: 'info', format: 'text', filePath: undefined },
    rateLimit: { requestsPerSecond: 10, burst: 20 },
    limits: {
      tlsHandshakeTimeoutMs: 10_000,
      requestHeaderTimeoutMs: 15_000,
      headerBytes: 32_768,
      headerCount: 100,
      keepAliveTimeoutMs: 60_000,
      bodyStallTimeoutMs: 60_000,
      connectionsPerWorker: 10_000,
      connectionsPerClient: 256,
      requestsPerConnection: 10_000,
      http2Streams: 100,
      upgradeIdleTimeoutMs: 3_600_000,
      upstreamConnectionsPerSite: 256,
    },
    listeners: [
      {
        id: '127.0.0.1:443',
        bindAddrs: ['127.0.0.1'],
        httpPort: 80,
        httpsPort: 443,
        tls: { mode: 'internal' },
        clientAuth: undefined,
        clients: undefined,
        sites: [
          {
            hosts: ['a.example'],
            action: {
              kind: 'proxy',
              upstream: { kind: 'tcp', scheme: 'http', host: '127.0.0.1', port: 3000, caPem: undefined },
              balancing: {
                peers: [],
                balance: { by: 'least_requests' },
                failAfter: 3,
                failWindowMs: 10_000,
                retryMs: 2_000,
              },
              connectTimeoutMs: 5_000,
              requestTimeoutMs: 60_000,
              stripPrefix: false,
              addPrefix: '',
            },
            routes: [],
            requestHeaders: [],
            responseHeaders: [],
            bodyLimitBytes: 1_000,
            rateLimit: undefined,
            access: undefined,
            basicAuth: undefined,
            forwardAuth: undefined,
          },
        ],
      },
    ],
    passwordFiles: new Map(),
  })
})

test(
  'names and addresses get their one spelling, paths count from the file, files are read',
  TIMEOUT,
  async (t) => {
    const directory = await makeDirectory(t)
    await writeCertificates(directory)
    await writeFile(join(directory, 'eab.key'), 'c2VjcmV0\n')
    const path = await writeConfig(
      directory,
      `admin_socket_path = ""
state_dir = "state"
${HEAD}
[logging]
log_file_path = "../proxy.log"

[limits]
keep_alive_timeout_secs = 0.25

[[listeners]]
bind_addr = ["0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"]
https_port = 8443
http_port = 0

[listeners.tls]
mode = "acme"
acme_domains = ["A.Example", "b.example", "a.example"]
acme_cache_dir = "cache/"
acme_contact = "mailto:admin@example.com"
acme_directory = "https://ca.example/dir"
acme_ca_file = "pem/a.pem"
acme_eab_kid = "kid"
acme_eab_hmac_file = "eab.key"
acme_profile = "shortlived"

[[listeners.sites]]
host = ["A.EXAMPLE", "B.Example"]
upstream = "[0::1]:3000"
upstream_scheme = "https"
upstream_ca_file = "pem/a.pem"
rate_limit = { requests_per_second = 0.5, burst = 1 }
body.limit_bytes = 7

[[listeners]]
bind_addr = "127.0.0.1"

[listeners.tls]
mode = "manual"
cert_path = "pem/a.pem"
key_path = "pem/a.key"
certificates = [{ cert_path = "pem/b.pem", key_path = "pem/b.key" }]

[[listeners.sites]]
host = "*.b.example"
upstream = "My_App:80"
`,
    )
    const { config } = await loadConfig(path, OPTIONS)
    assert.equal(config.adminSocketPath, '')
    assert.equal(config.stateDir, join(directory, 'state'))
    assert.equal(config.logging.filePath, join(directory, '..', 'proxy.log'))
    assert.equal(config.limits.keepAliveTimeoutMs, 250)
    const [acme, manual] = config.listeners
    assert.equal(acme?.id, '127.0.0.1,::1:8443')
    assert.deepEqual(acme.bindAddrs, ['::1', '127.0.0.1'])
    assert.deepEqual(acme.tls, {
      mode: 'acme',
      domains: ['a.example', 'b.example'],
      cacheDir: join(directory, 'cache'),
      directoryUrl: 'https://ca.example/dir',
      contact: 'mailto:admin@example.com',
      challenge: 'tls-alpn-01',
      caFile: join(directory, 'pem', 'a.pem'),
      eab: { kid: 'kid', hmacFile: join(directory, 'eab.key') },
      keyType: 'ecdsa-p256',
      profile: 'shortlived',
      preferredChain: undefined,
    })
    const [site] = acme.sites
    assert.deepEqual(site?.hosts, ['a.example', 'b.example'])
    assert.equal(site.bodyLimitBytes, 7)
    assert.deepEqual(site.rateLimit, { requestsPerSecond: 0.5, burst: 1, scope: 'a.example' })
    assert.ok(site.action.kind === 'proxy')
    const { upstream } = site.action
    assert.ok(upstream.kind === 'tcp')
    assert.equal(upstream.host, '::1')
    assert.match(upstream.caPem ?? '', /^-----BEGIN CERTIFICATE-----/u)
    assert.deepEqual(manual?.tls, {
      mode: 'manual',
      pairs: [
        { certPath: join(directory, 'pem', 'a.pem'), keyPath: join(directory, 'pem', 'a.key') },
        { certPath: join(directory, 'pem', 'b.pem'), keyPath: join(directory, 'pem', 'b.key') },
      ],
    })
    const [wildcard] = manual.sites
    assert.ok(wildcard?.action.kind === 'proxy' && wildcard.action.upstream.kind === 'tcp')
    assert.equal(wildcard.action.upstream.host, 'my_app')
  },
)

test(
  'sites have the keys of [defaults], routes those of their site, unless they say otherwise',
  TIMEOUT,
  async (t) => {
    const path = await writeConfig(
      await makeDirectory(t),
      `${HEAD}
[defaults]
upstream = "127.0.0.1:1"
upstream_request_timeout_secs = 7
response_headers = { X-A = "default", X-B = "default" }

[[listeners]]
bind_addr = "127.0.0.1"
tls = { mode = "internal" }

[[listeners.sites]]
host = "a.example"
redirect = "https://b.example"

[[listeners.sites]]
host = "b.example"
rate_limit = { requests_per_second = 1, burst = 2 }
response_headers = { x-a = "site", X-C = "" }
routes = [
  { path = "/api/", methods = ["GET", "GET"], match_query = { v = "*" }, upstream = "127.0.0.1:2", strip_prefix = true },
  { path = "/caf\u00e9", respond = { status = 404 }, rate_limit = { requests_per_second = 3, burst = 4 } },
  { path = "/old/", redirect = "/new/*", redirect_status = 301, response_headers = { X-B = "route" } },
]
`,
    )
    const { config, warnings } = await loadConfig(path, OPTIONS)
    assert.deepEqual(warnings, [])
    const [a, b] = config.listeners[0]?.sites ?? []
    assert.deepEqual(a?.action, { kind: 'redirect', status: 308, target: 'https://b.example', keeps: 'path' })
    assert.ok(b?.action.kind === 'proxy')
    assert.equal(b.action.requestTimeoutMs, 7_000)
    assert.deepEqual(b.responseHeaders, [
      { name: 'x-a', value: 'site' },
      { name: 'X-B', value: 'default' },
      { name: 'X-C', value: '' },
    ])
    const [api, cafe, old] = b.routes
    assert.deepEqual(api?.match, {
      path: '/api/',
      methods: ['GET'],
      headers: [],
      query: [{ name: 'v', value: undefined }],
    })
    assert.ok(api.action.kind === 'proxy' && api.action.upstream.kind === 'tcp')
    assert.deepEqual([api.action.upstream.port, api.action.stripPrefix], [2, true])
    assert.equal(api.action.requestTimeoutMs, 7_000)
    assert.deepEqual(api.rateLimit, b.rateLimit, 'the bucket of the site')
    assert.equal(cafe?.match.path, '/caf\u00c3\u00a9')
    assert.deepEqual(cafe.action, {
      kind: 'respond',
      status: 404,
      body: '',
      contentType: 'text/plain; charset=utf-8',
    })
    assert.equal(cafe.rateLimit?.burst, 4)
    assert.notEqual(cafe.rateLimit.scope, b.rateLimit?.scope)
    assert.deepEqual(old?.action, { kind: 'redirect', status: 301, target: '/new/', keeps: 'rest' })
    assert.ok(old.responseHeaders.some(({ name, value }) => name === 'X-B' && value === 'route'))
  },
)

function withVariables(upstream: string): string {
  return `${HEAD}[[listeners]]\nbind_addr = "127.0.0.1"\ntls = { mode = "internal" }\nsites = [\n  { host = "\${SITE}.example", upstream = "${upstream}", response_headers = { X-A = "$\${X1} $5" } },\n]\n`
}

test(
  'variables: of the environment, of a file, and a dollar; what is not there is one error with its place',
  TIMEOUT,
  async (t) => {
    const directory = await makeDirectory(t)
    await writeFile(join(directory, 'port'), '3001\n')
    const options = { ...OPTIONS, environment: { ...OPTIONS.environment, env: { SITE: 'A' } } }
    const path = await writeConfig(directory, withVariables('127.0.0.1:${file:port}'))
    const { config } = await loadConfig(path, options)
    const [site] = config.listeners[0]?.sites ?? []
    assert.deepEqual(site?.hosts, ['a.example'])
    assert.ok(site.action.kind === 'proxy' && site.action.upstream.kind === 'tcp')
    assert.equal(site.action.upstream.port, 3001)
    assert.deepEqual(site.responseHeaders, [{ name: 'X-A', value: '${X1} $5' }])
    for (const [upstream, message] of [
      ['${UNSET}', /UNSET is not set/u],
      ['${file:none}', /none/u],
      ['${a b}', /no name/u],
    ] as const) {
      await writeConfig(directory, withVariables(upstream))
      const issues = await loadConfig(path, options).then(
        () => [],
        (error: unknown) => (error instanceof ConfigErrors ? error.issues : []),
      )
      assert.deepEqual(
        issues.map(({ code, path: at }) => [code, at]),
        [['VARIABLE_INVALID', 'listeners[0].sites[0].upstream']],
      )
      assert.match(issues[0]?.message ?? '', message)
      assert.ok((issues[0]?.line ?? 0) > 5)
    }
  },
)

test('a key of 100,000 parts is refused before anything takes its time over it', TIMEOUT, async (t) => {
  const key = Array.from({ length: 100_000 }, () => 'a').join('.')
  const directory = await makeDirectory(t)
  for (const line of [`${key} = 1`, `[${key}]`, `x = { ${key} = 1 }`]) {
    const path = await writeConfig(directory, `# comment\n${line}\n`)
    const [issue] = await issuesOf(path)
    assert.deepEqual([issue?.code, issue?.line], ['TOML_SYNTAX', 2])
  }
  const dots = `${HEAD}${LISTENER}`.replace(
    'upstream = ',
    `response_headers = { X = "${'.'.repeat(200)}" }, upstream = `,
  )
  assert.deepEqual((await loadConfig(await writeConfig(directory, dots), OPTIONS)).warnings, [])
})

test('a wildcard address is permitted by the key or by the flag', TIMEOUT, async (t) => {
  const directory = await makeDirectory(t)
  const listener = LISTENER.replace('"127.0.0.1"', '["0.0.0.0", "::"]')
  const path = await writeConfig(directory, HEAD + listener)
  assert.deepEqual(
    (await issuesOf(path)).map(({ code }) => code),
    ['WILDCARD_BIND', 'WILDCARD_BIND'],
  )
  const byFlag = await loadConfig(path, { ...OPTIONS, allowWildcardBindFlag: true })
  assert.equal(byFlag.config.allowWildcardBind, true)
  await writeConfig(directory, `allow_wildcard_bind = true\n${HEAD}${listener}`)
  const byKey = await loadConfig(path, OPTIONS)
  assert.deepEqual(byKey.config.listeners[0]?.bindAddrs, ['0.0.0.0', '::'])
})

test('a warning alone does not refuse the file', TIMEOUT, async (t) => {
  const path = await writeConfig(await makeDirectory(t), `group = "www-data"\n${HEAD}${LISTENER}`)
  const { warnings } = await loadConfig(path, OPTIONS)
  assert.deepEqual(
    warnings.map(({ code, line, column, file }) => ({ code, line, column, file })),
    [{ code: 'KEY_UNUSED', line: 1, column: 1, file: path }],
  )
})

test(
  'a file that is not there, is a directory, is too large or is not UTF-8 is one error',
  TIMEOUT,
  async (t) => {
    const directory = await makeDirectory(t)
    const cases: readonly (readonly [name: string, code: string, make: (path: string) => Promise<void>])[] = [
      ['none.toml', 'CONFIG_UNREADABLE', async () => undefined],
      ['directory.toml', 'CONFIG_UNREADABLE', async (path) => await mkdir(path)],
      [
        'large.toml',
        'CONFIG_TOO_LARGE',
        async (path) => {
          await writeFile(path, '')
          await truncate(path, 16 * 1024 * 1024 + 1)
        },
      ],
      ['latin1.toml', 'TOML_SYNTAX', (path) => writeFile(path, Buffer.from('# caf\u00e9', 'latin1'))],
    ]
    for (const [name, code, make] of cases) {
      const path = join(directory, name)
      await make(path)
      assert.deepEqual(
        (await issuesOf(path)).map((issue) => issue.code),
        [code],
      )
    }
  },
)

test('what the system says about a file is told in its own words', TIMEOUT, async (t) => {
  const path = await writeConfig(await makeDirectory(t), HEAD)
  for (const [code, fault] of [
    ['ENOENT', 'missing'],
    ['EACCES', 'denied'],
    ['EISDIR', 'not-a-file'],
    ['EIO', 'failed'],
  ]) {
    const read = readSmallFile(path, () => Promise.reject(Object.assign(new Error('system'), { code })))
    await assert.rejects(read, (error) => error instanceof ReadError && error.fault === fault)
  }
})

test('a pipe in place of a file is refused, not waited for', TIMEOUT, async (t) => {
  const path = join(await makeDirectory(t), 'config.toml')
  execFileSync('mkfifo', [path])
  const [issue] = await issuesOf(path)
  assert.match(issue?.message ?? '', /is not a regular file$/u)
})

test('a file that changes while it is read is refused', TIMEOUT, async (t) => {
  const directory = await makeDirectory(t)
  const changes: readonly (readonly [string, (path: string) => Promise<void>])[] = [
    ['written to', (path) => appendFile(path, 'x')],
    [
      'replaced',
      async (path) => {
        await writeFile(`${path}.new`, HEAD)
        await rename(`${path}.new`, path)
      },
    ],
  ]
  for (const [title, change] of changes) {
    await t.test(title, async () => {
      const path = await writeConfig(directory, HEAD)
      const read = readSmallFile(path, async (handle) => {
        const bytes = await handle.readFile()
        await change(path)
        return bytes
      })
      await assert.rejects(read, (error) => error instanceof ReadError && error.fault === 'changed')
    })
  }
})

test('TOML that reaches for prototypes is an unknown key', TIMEOUT, async (t) => {
  const text = `__proto__ = { workers = 3 }\nconstructor.prototype = 1\n${HEAD}${LISTENER}`
  const issues = await issuesOf(await writeConfig(await makeDirectory(t), text))
  assert.deepEqual(
    issues.map(({ code }) => code),
    ['KEY_UNKNOWN', 'KEY_UNKNOWN'],
  )
})

test(
  'what the machine lacks, account, group and a place for the log, is found with everything else, at its place',
  TIMEOUT,
  async (t) => {
    const directory = await makeDirectory(t)
    const load = async (text: string, isRoot = true): Promise<string[]> => {
      const path = await writeConfig(directory, `${text}${LISTENER.replace('3000', 'port')}`)
      const environment = { ...OPTIONS.environment, isRoot }
      const error: unknown = await loadConfig(path, { ...OPTIONS, environment }).catch(
        (thrown: unknown) => thrown,
      )
      assert.ok(error instanceof ConfigErrors)
      return error.issues.map(({ line, column, code }) => `${line}:${column} ${code}`)
    }
    const top = 'user = "no-such-user"\ngroup = "no-such-group"\n'
    const lacking = `${top}[logging]\nlog_file_path = "none/x.log"\n${HEAD}`
    const others = ['4:1 LOG_FILE_UNUSABLE', '16:32 UPSTREAM_INVALID']
    assert.deepEqual(await load(lacking), ['1:1 ACCOUNT_UNKNOWN', '2:1 ACCOUNT_UNKNOWN', ...others])
    // Nobody but root becomes somebody else.
    assert.deepEqual(await load(lacking, false), ['1:1 KEY_UNUSED', ...others])

    await mkdir(join(directory, 'logs'))
    await symlink('/dev/null', join(directory, 'link'))
    for (const [path, expected] of [
      ['logs', ['4:1 LOG_FILE_UNUSABLE']],
      ['link', ['4:1 LOG_FILE_UNUSABLE']],
      ['logs/x.log', []],
    ] as const) {
      const known = `user = "root"\ngroup = "0"\n[logging]\nlog_file_path = "${path}"\n${HEAD}`
      assert.deepEqual(await load(known), [...expected, '16:32 UPSTREAM_INVALID'])
    }
  },
)

test('a number in quotes: the hint is to leave them out, also where a word would do', TIMEOUT, async (t) => {
  const path = await writeConfig(await makeDirectory(t), `workers = "4"\n${HEAD}${LISTENER}`)
  const error: unknown = await loadConfig(path, OPTIONS).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof ConfigErrors)
  assert.deepEqual(
    error.issues.map(({ hint }) => hint),
    ['write 4, without quotes'],
  )
})

test('the log may be neither the configuration file nor anything that it names', TIMEOUT, async (t) => {
  const directory = await makeDirectory(t)
  await writeCertificates(directory)
  await symlink('config.toml', join(directory, 'link'))
  await link(join(directory, 'pem', 'a.key'), join(directory, 'other.key'))
  const listener = `
[[listeners]]
bind_addr = "127.0.0.1"
[listeners.tls]
mode = "manual"
cert_path = "pem/a.pem"
key_path = "pem/a.key"
[[listeners.sites]]
host = "a.example"
upstream = "127.0.0.1:3000"
`
  const found: Record<string, string> = {}
  for (const name of ['config.toml', 'pem/../config.toml', 'other.key', 'admin.sock', 'state']) {
    const text = `admin_socket_path = "admin.sock"\nstate_dir = "state"\n${HEAD}[logging]\nlog_file_path = "${name}"\n${listener}`
    const [issue] = await issuesOf(await writeConfig(directory, text))
    assert.equal(issue?.code, 'PATH_CLASH', name)
    assert.equal(issue.path, 'logging.log_file_path')
    found[name] = issue.message.split(' is ')[1] ?? ''
  }
  assert.deepEqual(found, {
    'config.toml': 'also the configuration file',
    'pem/../config.toml': 'also the configuration file',
    'other.key': 'also listeners[0].tls.key_path',
    'admin.sock': 'also admin_socket_path',
    state: 'also state_dir',
  })
})

test('a socket path that is too long where a shorter name would fit: the directory counts', () => {
  assert.equal(isSocketPathTooLong(`/${'x'.repeat(95)}/admin.sock`), false)
  assert.equal(isSocketPathTooLong(`/${'x'.repeat(96)}/admin.sock`), true)
  assert.equal(isSocketPathTooLong(`/${'x'.repeat(96)}/a`), true, 'it is bound under a longer name first')
})

test(
  'a password file: its contents are kept for the supervisor; bad lines are named and never quoted',
  TIMEOUT,
  async (t) => {
    const directory = await makeDirectory(t)
    const site = 'sites = [{ host = "a.example", upstream = "127.0.0.1:3000", basic_auth_file = "users" }]'
    const path = await writeConfig(directory, HEAD + LISTENER.replace(/sites = .*/u, site))
    await writeFile(join(directory, 'users'), '# staff\nann:secret\n\nbob:$apr1$x$y\n')
    const issues = await issuesOf(path)
    assert.deepEqual(
      issues.map(({ code, path: at }) => [code, at]),
      [
        ['PASSWORD_FILE_INVALID', 'listeners[0].sites[0].basic_auth_file'],
        ['PASSWORD_FILE_INVALID', 'listeners[0].sites[0].basic_auth_file'],
      ],
    )
    assert.match(issues[0]?.message ?? '', /\/users line 2: the hash of "ann" is not accepted/u)
    assert.doesNotMatch(JSON.stringify(issues), /secret|apr1/u)
    const line = `ann:$2y$05$${'A'.repeat(53)}\n`
    await writeFile(join(directory, 'users'), line)
    const { config } = await loadConfig(path, OPTIONS)
    assert.deepEqual([...config.passwordFiles], [[join(directory, 'users'), line]])
    assert.deepEqual(config.listeners[0]?.sites[0]?.basicAuth, {
      file: join(directory, 'users'),
      forwardsAuthorization: false,
    })
  },
)

function withBan(settings: string): string {
  return `ban = { after = 3, statuses = [404] }
${HEAD}[[listeners]]
bind_addr = "127.0.0.1"
tls = { mode = "internal" }
[[listeners.sites]]
host = "a.example"
upstream = "127.0.0.1:1"
routes = [{ path = "/x", respond = {} }]
[[listeners.sites]]
host = "b.example"
upstream = "127.0.0.1:1"
routes = [{ path = "/x", respond = {} }]
ban = { ${settings} }
`
}

test(
  'a ban of its own replaces the general one for a site and its routes, and counts apart',
  TIMEOUT,
  async (t) => {
    const directory = await makeDirectory(t)
    const { config } = await loadConfig(await writeConfig(directory, withBan('for_secs = 86_400')), OPTIONS)
    assert.deepEqual(config.ban, {
      after: 3,
      withinMs: 600_000,
      forMs: 3_600_000,
      statuses: [404],
      scope: '',
    })
    const [a, b] = config.listeners[0]?.sites ?? []
    assert.deepEqual([a?.ban, a?.routes[0]?.ban], [undefined, undefined])
    const own = {
      after: 10,
      withinMs: 600_000,
      forMs: 86_400_000,
      statuses: [401, 403, 429],
      scope: 'b.example',
    }
    assert.deepEqual([b?.ban, b?.routes[0]?.ban], [own, own])

    const issues = await issuesOf(
      await writeConfig(directory, withBan('after = 0, statuses = [200], for = 5')),
    )
    assert.deepEqual(
      issues.map(({ code, path, line }) => [code, path, line]),
      [
        ['VALUE_INVALID', 'listeners[0].sites[1].ban.after', 20],
        ['VALUE_INVALID', 'listeners[0].sites[1].ban.statuses[0]', 20],
        ['KEY_UNKNOWN', 'listeners[0].sites[1].ban.for', 20],
      ],
    )
    assert.ok(issues.every(({ hint, column }) => hint !== '' && column !== undefined))
  },
)
