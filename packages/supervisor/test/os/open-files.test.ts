import assert from 'node:assert/strict'
import { test } from 'node:test'
import { localProfile } from '../../src/config/local-profile.ts'
import { fitConnections, openFileLimit } from '../../src/os/open-files.ts'

test('connections_per_worker is lowered to what fits into the open-file limit, with both numbers in the warning', async () => {
  const config = localProfile({ isRoot: false, env: {}, homeDir: '/home/x' })
  const { connectionsPerWorker } = config.limits
  assert.deepEqual(fitConnections(config, undefined), { config })
  assert.equal(fitConnections(config, 1_048_576).warning, undefined)
  assert.equal(fitConnections(config, 1_048_576).config.limits.connectionsPerWorker, connectionsPerWorker)

  const { config: lowered, warning } = fitConnections(config, 1_024)
  assert.ok(lowered.limits.connectionsPerWorker > 400 && lowered.limits.connectionsPerWorker < 1_000)
  assert.equal(warning?.['open_file_limit'], 1_024)
  assert.equal(warning?.['connections_per_worker'], connectionsPerWorker)
  assert.equal(warning?.['lowered_to'], lowered.limits.connectionsPerWorker)
  assert.ok(fitConnections(config, 30).config.limits.connectionsPerWorker > 0)
  assert.ok(((await openFileLimit()) ?? 0) > 100)
})

test('the connections of a worker to its clients and to its upstreams fit into the open-file limit together', () => {
  const config = localProfile({ isRoot: false, env: {}, homeDir: '/home/x' })
  for (const limit of [128, 1_024, 20_000]) {
    const { connectionsPerWorker, upstreamConnectionsPerWorker = Infinity } = fitConnections(config, limit)
      .config.limits
    assert.ok(upstreamConnectionsPerWorker >= 8)
    assert.ok(connectionsPerWorker + upstreamConnectionsPerWorker < limit, String(limit))
  }
})
