// The upstream of every peer: a process of its own, whose CPU nobody counts. `node upstream.ts` prints its port.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'

const SMALL = Buffer.alloc(512, 'x')
const JSON_BODY = Buffer.from(
  JSON.stringify(
    Array.from({ length: 1_250 }, (_, id) => ({ id, name: `item ${id}`, tags: ['a', 'b'], price: id * 1.5 })),
  ),
)
const LARGE = Buffer.alloc(10 * 1024 * 1024, 'y')

const server = createServer((request, response) => {
  switch (request.url ?? '') {
    case '/json':
      response
        .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': JSON_BODY.length })
        .end(JSON_BODY)
      break
    case '/large':
      response.writeHead(200, { 'Content-Length': LARGE.length }).end(LARGE)
      break
    case '/upload':
      request.resume().on('end', () => response.writeHead(200, { 'Content-Length': 2 }).end('ok'))
      break
    default:
      response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': SMALL.length }).end(SMALL)
  }
})
// Longer than any peer keeps a connection: nobody meets a connection that is just being closed.
server.keepAliveTimeout = 600_000
new WebSocketServer({ server, path: '/echo' }).on('connection', (peer) =>
  peer.on('message', (data) => peer.send(data)),
)
server.listen(0, '127.0.0.1', () => process.stdout.write(`${JSON.stringify(server.address())}\n`))
