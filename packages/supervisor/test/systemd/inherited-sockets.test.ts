import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadConfig } from '../../src/config/load.ts'
import { InheritedSockets } from '../../src/systemd/inherited-sockets.ts'
import { HEAD, makeDirectory, OPTIONS, writeConfig } from '../support/config-directory.ts'

test('a socket of systemd that a reload leaves without a listener is given up, and said; one never used waits', async (t) => {
  const directory = await makeDirectory(t)
  const configWith = async (ports: readonly number[]) => {
    const listeners = ports.map(
      (port) => `[[listeners]]
bind_addr = "127.0.0.1"
https_port = ${port}
http_port = 0
tls = { mode = "internal" }
sites = [{ host = "p${port}.example", upstream = "127.0.0.1:3000" }]
`,
    )
    return (await loadConfig(await writeConfig(directory, HEAD + listeners.join('')), OPTIONS)).config
  }
  const [one, two] = [await configWith([1443]), await configWith([1443, 2443])]
  const sockets = new InheritedSockets(
    [1443, 2443, 3443].map((port, index) => ({ fd: index + 3, address: '127.0.0.1', port })),
  )
  const ports = () => sockets.current.map(({ port }) => port)
  const never = 'no listener is configured for the socket of systemd on 127.0.0.1 port 3443'

  assert.equal(sockets.change(one, two).join('\n'), never)
  assert.deepEqual(ports(), [1443, 2443, 3443])
  assert.match(sockets.change(two, one).join('\n'), /port 2443 any more: restart the service.*\n.*port 3443$/)
  assert.deepEqual(ports(), [1443, 3443])
  // Never handed out again, whatever its descriptor is by now.
  assert.deepEqual(sockets.change(one, two), [never])
  assert.deepEqual(ports(), [1443, 3443])
})
