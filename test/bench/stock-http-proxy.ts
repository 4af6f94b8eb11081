// http-proxy as its own documentation shows it, behind https, with a keep-alive agent and an access log line: what
// one writes in ten minutes. argv: port upstreamPort certPath keyPath logPath
import { createWriteStream, readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { createServer } from 'node:https'
import httpProxy from 'http-proxy'

const [port, upstreamPort, certPath = '', keyPath = '', logPath = ''] = process.argv.slice(2)
const log = createWriteStream(logPath, { flags: 'a' })
const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${upstreamPort}`,
  agent: new Agent({ keepAlive: true, maxSockets: 256 }),
  xfwd: true,
  ws: true,
})
proxy.on('error', (_error, _request, response) => response.destroy())
const server = createServer(
  { cert: readFileSync(certPath), key: readFileSync(keyPath) },
  (request, response) => {
    const startedMs = performance.now()
    response.on('finish', () => {
      const { method, url, headers, socket } = request
      const ms = Math.round(performance.now() - startedMs)
      log.write(
        `${new Date().toISOString()} ${socket.remoteAddress} ${headers.host} ${method} ${url} ${response.statusCode} ${ms}\n`,
      )
    })
    proxy.web(request, response)
  },
)
server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head))
server.listen(Number(port), '127.0.0.1')
