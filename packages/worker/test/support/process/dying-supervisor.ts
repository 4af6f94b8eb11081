// A supervisor that dies while its worker binds: it kills itself when the first of two ports is bound, before it can
// answer for the second. Arguments: two ports.
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import { siteOf } from '../site-server.ts'
import { startMessage } from './start-message.ts'

const [firstPort = 0, secondPort = 0] = process.argv.slice(2).map(Number)
const start = startMessage(
  {
    shutdownTimeoutMs: 1_000,
    listeners: [firstPort, secondPort].map((httpsPort) => ({
      id: String(httpsPort),
      bindAddrs: ['127.0.0.1'],
      httpPort: 0,
      httpsPort,
      sites: [siteOf(1)],
    })),
  },
  [],
)

cluster.schedulingPolicy = cluster.SCHED_NONE
cluster.setupPrimary({
  exec: fileURLToPath(new URL('../../../dist/main.js', import.meta.url)),
  args: [],
  serialization: 'advanced',
})
cluster.on('message', (worker, message: WorkerToSupervisor) => {
  if (message.type === 'booted') worker.send(start)
})
cluster.on('listening', () => process.kill(process.pid, 'SIGKILL'))
cluster.fork()
