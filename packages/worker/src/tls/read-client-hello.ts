// Reads the first bytes of a connection until they are a complete ClientHello, within a limit on time and bytes. The
// bytes are consumed: the caller must put them back (unshift) before it hands the socket on.
import type { Socket } from 'node:net'
import { parseClientHello, type ClientHello, type ClientHelloFault } from './client-hello.ts'

export type ClientHelloOutcome =
  | { readonly kind: 'hello'; readonly hello: ClientHello; readonly bytes: Buffer }
  | { readonly kind: 'fault'; readonly fault: ClientHelloFault }
  | { readonly kind: 'timeout'; readonly receivedBytes: number }
  /** The client disconnected first. */
  | { readonly kind: 'gone' }

/**
 * Calls `onOutcome` exactly once and leaves no listener on the socket. For a ClientHello it does so in the tick in
 * which the last byte was read; the caller must unshift the bytes in the same tick.
 * @param timeoutMs from now to the last byte of the ClientHello
 */
export function readClientHello(
  socket: Socket,
  timeoutMs: number,
  onOutcome: (outcome: ClientHelloOutcome) => void,
): void {
  let chunks: Buffer[] = []
  let receivedBytes = 0
  let neededBytes = 1
  const timer = setTimeout(() => finish({ kind: 'timeout', receivedBytes }), timeoutMs)
  socket.on('readable', onReadable)
  socket.on('end', onGone)
  socket.on('close', onGone)

  // Keep the bytes in our own buffer while we wait: an unshift inside 'readable' would stall the socket.
  function onReadable(): void {
    for (;;) {
      const chunk: Buffer | null = socket.read()
      if (chunk === null) break
      chunks.push(chunk)
      receivedBytes += chunk.length
    }
    if (receivedBytes < neededBytes) return
    const bytes = Buffer.concat(chunks, receivedBytes)
    const parsed = parseClientHello(bytes)
    switch (parsed.status) {
      case 'complete':
        finish({ kind: 'hello', hello: parsed, bytes })
        break
      case 'bad':
        finish({ kind: 'fault', fault: parsed.reason })
        break
      case 'need-more':
        chunks = [bytes]
        neededBytes = parsed.atLeastBytes
        break
    }
  }

  function onGone(): void {
    finish({ kind: 'gone' })
  }

  function finish(outcome: ClientHelloOutcome): void {
    clearTimeout(timer)
    socket.off('readable', onReadable)
    socket.off('end', onGone)
    socket.off('close', onGone)
    onOutcome(outcome)
  }
}
