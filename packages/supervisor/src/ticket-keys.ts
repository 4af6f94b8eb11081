// Session ticket keys, shared by all workers so that a client resumes whichever takes it. Made here,
// sent over IPC, never written anywhere.
import { randomBytes } from 'node:crypto'

/** Key name, HMAC key, AES key: what tls.Server.setTicketKeys takes. */
const TICKET_KEYS_BYTES = 48

export function createTicketKeys(): Uint8Array {
  return randomBytes(TICKET_KEYS_BYTES)
}
