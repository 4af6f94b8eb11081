// An encoder of ClientHellos, written from the RFCs alone, for tests of the parser.

export interface Extension {
  readonly type: number
  readonly data: Uint8Array
}

export interface HelloParts {
  readonly sessionId?: Uint8Array
  readonly cipherSuites?: readonly number[]
  /** Undefined: no extensions block at all. */
  readonly extensions: readonly Extension[] | undefined
}

export function serverNameExtension(...names: readonly string[]): Extension {
  const entries = names.map((name) => Buffer.concat([Buffer.of(0), vector(2, Buffer.from(name, 'latin1'))]))
  return { type: 0, data: vector(2, ...entries) }
}

export function alpnExtension(...protocols: readonly string[]): Extension {
  return { type: 16, data: vector(2, ...protocols.map((name) => vector(1, Buffer.from(name, 'latin1')))) }
}

/** The handshake message, header included. */
export function encodeHello(parts: HelloParts): Buffer {
  const suites = (parts.cipherSuites ?? [0x1301]).map((suite) => Buffer.of(suite >> 8, suite & 0xff))
  const extensions = parts.extensions?.map(({ type, data }) =>
    Buffer.concat([Buffer.of(type >> 8, type & 0xff), vector(2, data)]),
  )
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 0xab),
    vector(1, parts.sessionId ?? Buffer.alloc(0)),
    vector(2, ...suites),
    vector(1, Buffer.of(0)),
    ...(extensions === undefined ? [] : [vector(2, ...extensions)]),
  ])
  return Buffer.concat([Buffer.of(1), vector(3, body)])
}

/** `message` in records whose payloads have these sizes, over and over. */
export function encodeRecords(message: Uint8Array, payloadSizes: readonly number[] = [16_384]): Buffer {
  const records: Buffer[] = []
  for (let at = 0, i = 0; at < message.length; i++) {
    const size = payloadSizes[i % payloadSizes.length] ?? 1
    records.push(Buffer.concat([Buffer.of(22, 3, 1), vector(2, message.subarray(at, at + size))]))
    at += size
  }
  return Buffer.concat(records)
}

/** The parts behind one another, preceded by their length in `lengthBytes` bytes. */
function vector(lengthBytes: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(content.length, 0, lengthBytes)
  return Buffer.concat([length, content])
}
