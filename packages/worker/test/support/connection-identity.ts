// An upstream that knows its user by the connection, as IIS does with NTLM and Negotiate: three steps on one
// connection authenticate it, and whatever else is sent between two of them begins them anew.
import net from 'node:net'
import type { TestContext } from 'node:test'
import { readRequest, valuesOf, type UpstreamRequest } from '../../../../test/harness/raw-upstream.ts'
import { listen } from '../../../../test/harness/ports.ts'

export interface IdentityUpstream {
  readonly port: number
  /** In the order in which they came. */
  readonly sockets: readonly net.Socket[]
  readonly open: () => number
  /** Resets the connection with this number as soon as another request has come on it. */
  readonly resetNext: (number: number) => void
}

interface State {
  readonly number: number
  user: string
  isChallenged: boolean
}

/** Each response names the user that is served and the connection, counted from 1. */
export function served(user: string, connection: number): string {
  return `${user} ${connection}`
}

export async function startIdentityUpstream(
  t: TestContext,
  unauthenticated = 'WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n',
): Promise<IdentityUpstream> {
  const sockets: net.Socket[] = []
  const toReset = new Set<number>()
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.push(socket)
    const state: State = { number: sockets.length, user: 'nobody', isChallenged: false }
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (let request = readRequest(text); request !== undefined; request = readRequest(text)) {
        text = text.slice(request.bytes)
        if (toReset.has(state.number)) socket.resetAndDestroy()
        else socket.write(respond(state, request, unauthenticated), 'latin1')
      }
    })
  })
  const port = await listen(t, server)
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  return {
    port,
    sockets,
    open: () => sockets.filter(({ destroyed }) => !destroyed).length,
    resetNext: (number) => toReset.add(number),
  }
}

function respond(state: State, request: UpstreamRequest, unauthenticated: string): string {
  const authorization = valuesOf(request.headers, 'authorization')[0]
  const [scheme = '', token = ''] = authorization?.split(' ') ?? []
  const wasChallenged = state.isChallenged
  state.isChallenged = false
  if (/^ntlm$/i.test(scheme)) {
    state.user = 'nobody'
    if (token === 'hello') {
      state.isChallenged = true
      return message(state, request, 401, `WWW-Authenticate: NTLM challenge-${state.number}\r\n`)
    }
    const [user = '', challenge] = token.split(':')
    if (wasChallenged && challenge === `challenge-${state.number}`) state.user = user
  } else if (/^negotiate$/i.test(scheme)) {
    state.user = token
  }
  if (state.user === 'nobody') return message(state, request, 401, unauthenticated)
  return message(state, request, 200, '')
}

function message(state: State, request: UpstreamRequest, status: number, fields: string): string {
  const body = served(state.user, state.number)
  const head = `HTTP/1.1 ${status} Said\r\n${fields}X-Served: ${body}\r\nContent-Length: ${body.length}\r\n\r\n`
  return request.line.startsWith('HEAD ') ? head : head + body
}
