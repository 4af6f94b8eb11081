// Reads the PROXY protocol header at the start of a connection. Bounded in time and bytes; leaves everything behind the
// header in the socket.
import type { Socket } from 'node:net'
import { parseProxyHeader } from './proxy-protocol.ts'

export type ProxyHeaderOutcome =
  | { readonly kind: 'header'; readonly clientIp: string | undefined }
  | { readonly kind: 'fault'; readonly fault: 'no valid header' | 'no header in time' }
  /** The peer left first. */
  | { readonly kind: 'gone' }

/**
 * Calls `onOutcome` exactly once, with no listener of its own left on the socket.
 * @param timeoutMs from now to the last byte of the header
 */
export function readProxyHeader(
  socket: Socket,
  timeoutMs: number,
  onOutcome: (outcome: ProxyHeaderOutcome) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0)
  const timer = setTimeout(() => finish({ kind: 'fault', fault: 'no header in time' }), timeoutMs)
  socket.on('readable', onReadable)
  socket.on('end', onGone)
  socket.on('close', onGone)

  function onReadable(): void {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      const header = parseProxyHeader(bytes)
      if (header.status === 'need-more') continue
      if (header.status === 'bad') {
        finish({ kind: 'fault', fault: 'no valid header' })
        return
      }
      const rest = bytes.subarray(header.bytes)
      finish({ kind: 'header', clientIp: header.clientIp }, rest)
      return
    }
  }

  function onGone(): void {
    finish({ kind: 'gone' })
  }

  function finish(outcome: ProxyHeaderOutcome, rest?: Buffer): void {
    clearTimeout(timer)
    socket.off('readable', onReadable)
    socket.off('end', onGone)
    socket.off('close', onGone)
    if (rest === undefined) {
      onOutcome(outcome)
      return
    }
    if (rest.length > 0) socket.unshift(rest)
    // Not within 'readable': the next reader would get no event for the bytes that were put back.
    setImmediate(onOutcome, outcome)
  }
}
