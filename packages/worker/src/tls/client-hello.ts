// Parses a ClientHello for the two values that the proxy needs before the handshake: the server name and the ALPN
// list. Checks only the structure on the way to them; the TLS library checks the rest of the same bytes later. Pure.

/** Bytes on the wire, record headers included. Today's largest ClientHello (post-quantum key shares) has 2 KB. */
export const MAX_CLIENT_HELLO_BYTES = 16 * 1024

export interface ClientHello {
  /** Lower case. */
  readonly serverName: string | undefined
  /** Protocol names, one character per byte; empty if the client sent no list. */
  readonly alpn: readonly string[]
}

export type ClientHelloFault = 'http' | 'sslv2' | 'not_tls' | 'too_large' | 'malformed' | 'bad_server_name'

export type ParsedClientHello =
  | ({ readonly status: 'complete' } & ClientHello)
  /** Parse again when at least `atLeastBytes` have arrived in total; this keeps byte-by-byte arrival cheap. */
  | { readonly status: 'need-more'; readonly atLeastBytes: number }
  | { readonly status: 'bad'; readonly reason: ClientHelloFault }

const RECORD_HEADER_BYTES = 5
const MAX_RECORD_BYTES = 2 ** 14
const RECORD_TYPE_HANDSHAKE = 22
const TLS_MAJOR_VERSION = 3
const HANDSHAKE_HEADER_BYTES = 4
const HANDSHAKE_TYPE_CLIENT_HELLO = 1
const EXTENSION_SERVER_NAME = 0
const EXTENSION_ALPN = 16

/** @param bytes all bytes received since the connection began */
export function parseClientHello(bytes: Uint8Array): ParsedClientHello {
  let at = 0
  let collectedBytes = 0
  // A lower bound until the handshake header has arrived.
  let messageBytes = HANDSHAKE_HEADER_BYTES
  let header = 0
  for (;;) {
    const fault = faultOfRecordHeader(bytes, at)
    if (fault !== undefined) return bad(at === 0 ? fault : 'malformed')
    if (bytes.length < at + RECORD_HEADER_BYTES) {
      return needMore(at + RECORD_HEADER_BYTES + messageBytes - collectedBytes)
    }
    const payload = at + RECORD_HEADER_BYTES
    const recordEnd = payload + uint16(bytes, at + 3)
    if (recordEnd > bytes.length || recordEnd > MAX_CLIENT_HELLO_BYTES) return needMore(recordEnd)

    // The handshake header may be spread over records as well.
    for (let i = payload; i < recordEnd && collectedBytes + i - payload < HANDSHAKE_HEADER_BYTES; i++) {
      header = header * 256 + byteAt(bytes, i)
    }
    collectedBytes += recordEnd - payload
    if (collectedBytes >= HANDSHAKE_HEADER_BYTES) {
      if (header >>> 24 !== HANDSHAKE_TYPE_CLIENT_HELLO) return bad('malformed')
      messageBytes = HANDSHAKE_HEADER_BYTES + (header & 0xffffff)
      // RFC 8446 5.1: a message must not span a key change, so no byte may follow the ClientHello.
      if (collectedBytes > messageBytes) return bad('malformed')
      if (collectedBytes === messageBytes) return complete(bytes, recordEnd, messageBytes)
    }
    at = recordEnd
  }
}

function complete(bytes: Uint8Array, end: number, messageBytes: number): ParsedClientHello {
  const inOneRecord = end === RECORD_HEADER_BYTES + messageBytes
  const message = inOneRecord ? bytes.subarray(RECORD_HEADER_BYTES, end) : gather(bytes, end, messageBytes)
  const hello = parseBody(message.subarray(HANDSHAKE_HEADER_BYTES))
  return typeof hello === 'string' ? bad(hello) : { status: 'complete', ...hello }
}

/** The fault of the record header at `at`, which may be incomplete. */
function faultOfRecordHeader(bytes: Uint8Array, at: number): ClientHelloFault | undefined {
  const type = bytes[at]
  const majorVersion = bytes[at + 1]
  if (type !== undefined && type !== RECORD_TYPE_HANDSHAKE) return faultOfForeignBytes(bytes)
  if (majorVersion !== undefined && majorVersion !== TLS_MAJOR_VERSION) return 'not_tls'
  if (bytes.length < at + RECORD_HEADER_BYTES) return undefined
  const recordBytes = uint16(bytes, at + 3)
  // RFC 8446 5.1: a handshake fragment is not empty and has at most 2^14 bytes.
  return recordBytes === 0 || recordBytes > MAX_RECORD_BYTES ? 'malformed' : undefined
}

const HTTP_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'CONNECT', 'TRACE', 'PRI']
const HTTP_OPENINGS = HTTP_METHODS.map((method) => Uint8Array.from(`${method} `, (c) => c.charCodeAt(0)))

function faultOfForeignBytes(bytes: Uint8Array): ClientHelloFault {
  const isPrefix = (opening: Uint8Array) => opening.every((byte, i) => i >= bytes.length || bytes[i] === byte)
  if (HTTP_OPENINGS.some(isPrefix)) return 'http'
  // An SSLv2 record: length with the high bit set, then message type 1.
  return byteAt(bytes, 0) >= 0x80 && bytes[2] === 1 ? 'sslv2' : 'not_tls'
}

/** Joins the handshake message from the records in `bytes`. Their headers have been checked. */
function gather(bytes: Uint8Array, end: number, messageBytes: number): Uint8Array {
  const message = new Uint8Array(messageBytes)
  let filled = 0
  for (let at = 0; at < end;) {
    const payload = at + RECORD_HEADER_BYTES
    const recordEnd = payload + uint16(bytes, at + 3)
    message.set(bytes.subarray(payload, recordEnd), filled)
    filled += recordEnd - payload
    at = recordEnd
  }
  return message
}

/** RFC 8446 4.1.2; RFC 5246 7.4.1.2 has the same structure. */
function parseBody(body: Uint8Array): ClientHello | ClientHelloFault {
  const sessionId = 2 + 32 // legacy_version, random
  const cipherSuites = afterVector(body, sessionId, 1)
  const compressionMethods = afterVector(body, cipherSuites, 2)
  const extensions = afterVector(body, compressionMethods, 1)
  // RFC 5246 7.4.1.2: up to TLS 1.2 the extensions may be missing.
  if (extensions === body.length) return { serverName: undefined, alpn: [] }
  if (afterVector(body, extensions, 2) !== body.length) return 'malformed'
  return parseExtensions(body.subarray(extensions + 2))
}

function parseExtensions(bytes: Uint8Array): ClientHello | ClientHelloFault {
  let serverName: string | undefined
  let alpn: readonly string[] = []
  const seen = new Set<number>()
  for (let at = 0; at < bytes.length;) {
    const end = afterVector(bytes, at + 2, 2)
    if (end > bytes.length) return 'malformed'
    const type = uint16(bytes, at)
    // RFC 8446 4.2: no extension twice. Otherwise we and the TLS library could each use a different one.
    if (seen.has(type)) return 'malformed'
    seen.add(type)
    const data = bytes.subarray(at + 4, end)
    if (type === EXTENSION_SERVER_NAME) {
      const name = parseServerNameList(data)
      if (name === undefined) return 'malformed'
      if (!isHostName(name)) return 'bad_server_name'
      serverName = name
    } else if (type === EXTENSION_ALPN) {
      const protocols = parseProtocolNames(data)
      if (protocols === undefined) return 'malformed'
      alpn = protocols
    }
    at = end
  }
  return { serverName, alpn }
}

/** RFC 6066 3: a list with one entry of type host_name (0), the only type; a second one is not allowed. */
function parseServerNameList(data: Uint8Array): string | undefined {
  const entry = 2
  const name = entry + 1 + 2
  if (afterVector(data, 0, 2) !== data.length) return undefined
  if (data[entry] !== 0 || afterVector(data, entry + 1, 2) !== data.length) return undefined
  return text(data, name, data.length).toLowerCase()
}

// RFC 6066 3: ASCII, no trailing dot, no address literal (its last label would be a number). No RFC allows the
// underscore, but names in use have it.
const HOST_NAME = /^(?!.{254})(?:[a-z0-9_-]{1,63}\.)*(?!\d+$)[a-z0-9_-]{1,63}$/u

function isHostName(name: string): boolean {
  return HOST_NAME.test(name)
}

/** RFC 7301 3.1: neither the list nor a name is empty. */
function parseProtocolNames(data: Uint8Array): string[] | undefined {
  if (data.length <= 2 || afterVector(data, 0, 2) !== data.length) return undefined
  const names: string[] = []
  for (let at = 2; at < data.length;) {
    const end = afterVector(data, at, 1)
    if (end > data.length || end === at + 1) return undefined
    names.push(text(data, at + 1, end))
    at = end
  }
  return names
}

/**
 * The end of the vector whose length field of `lengthBytes` bytes is at `at`; Infinity if it is beyond the end of
 * `bytes`. Infinity in gives Infinity out, so a chain of calls needs one check.
 */
function afterVector(bytes: Uint8Array, at: number, lengthBytes: 1 | 2): number {
  const start = at + lengthBytes
  if (start > bytes.length) return Infinity
  const end = start + (lengthBytes === 1 ? byteAt(bytes, at) : uint16(bytes, at))
  return end > bytes.length ? Infinity : end
}

function text(bytes: Uint8Array, start: number, end: number): string {
  let result = ''
  for (let i = start; i < end; i++) result += String.fromCharCode(byteAt(bytes, i))
  return result
}

function uint16(bytes: Uint8Array, at: number): number {
  return byteAt(bytes, at) * 256 + byteAt(bytes, at + 1)
}

/** The caller has checked the bounds. */
function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

function bad(reason: ClientHelloFault): ParsedClientHello {
  return { status: 'bad', reason }
}

function needMore(atLeastBytes: number): ParsedClientHello {
  return atLeastBytes > MAX_CLIENT_HELLO_BYTES ? bad('too_large') : { status: 'need-more', atLeastBytes }
}
