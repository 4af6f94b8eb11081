// What is published for operators: the JSON Schema for editors, the example files, the local profile.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { configSchema } from '@reverse-proxy/shared/config/schema'
import { loadConfig } from '../../src/config/load.ts'
import { localProfile } from '../../src/config/local-profile.ts'
import { nodeOf, type SchemaNode } from '../../src/config/schema/view.ts'
import { HEAD, makeDirectory, OPTIONS, writeConfig } from '../support/config-directory.ts'

const ROOT = join(import.meta.dirname, '../../../..')
const EXAMPLES = join(ROOT, 'deploy', 'config')

test('docs/config.schema.json is up to date: pnpm -F supervisor schema writes it', async () => {
  const published: unknown = JSON.parse(await readFile(join(ROOT, 'docs', 'config.schema.json'), 'utf8'))
  assert.deepEqual(published, JSON.parse(JSON.stringify(configSchema)))
})

test('every key of the schema is described', () => {
  const visit = (node: SchemaNode, path: string): void => {
    for (const [key, child] of Object.entries(node.properties)) {
      assert.ok(child.description?.endsWith('.'), `${path}${key} has a description that is a sentence`)
      visit(child.items ?? child, `${path}${key}.`)
    }
  }
  visit(nodeOf(configSchema), '')
})

test('every example is valid without a warning and names its schema', async (t) => {
  const names = (await readdir(EXAMPLES)).filter((name) => name.endsWith('.toml'))
  assert.deepEqual(names.toSorted(), [
    'behind-cloudflare.toml',
    'behind-load-balancer.toml',
    'behind-tunnel.toml',
    'company-site.toml',
    'dedicated-ips.toml',
    'local.toml',
    'login-page.toml',
    'office-network.toml',
    'shared-ip.toml',
  ])
  for (const name of names) {
    await t.test(name, async () => {
      const text = await readFile(join(EXAMPLES, name), 'utf8')
      assert.match(text, /^#:schema \.\.\/\.\.\/docs\/config\.schema\.json\n/u)
      // The installer makes the directory of the log.
      const directory = await makeDirectory(t)
      const installed = text.replaceAll('/var/log/reverse-proxy', directory)
      const { warnings, config } = await loadConfig(await writeConfig(directory, installed), OPTIONS)
      // They are for root.
      assert.deepEqual(
        warnings.filter(({ code, path }) => code !== 'KEY_UNUSED' || path !== 'user'),
        [],
      )
      assert.ok(config.listeners.length > 0)
    })
  }
})

test('the local profile is the file that says the same, but for its welcome page', async (t) => {
  const path = await writeConfig(
    await makeDirectory(t),
    `${HEAD}
[[listeners]]
bind_addr = "127.0.0.1"
https_port = 8443
http_port = 8080
tls = { mode = "internal" }
sites = [{ host = "localhost", upstream = "127.0.0.1:1" }]
`,
  )
  const { config } = await loadConfig(path, OPTIONS)
  const profile = localProfile(OPTIONS.environment)
  const bodyLimitBytes = 10 * 1024 * 1024
  assert.deepEqual(profile, {
    ...config,
    rateLimit: { requestsPerSecond: 100, burst: 200 },
    listeners: config.listeners.map((listener) => ({
      ...listener,
      sites: listener.sites.map((site) => ({
        ...site,
        bodyLimitBytes,
        action: { ...site.action, upstream: { kind: 'welcome' } },
      })),
    })),
  })
})
