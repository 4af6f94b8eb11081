// Faults in the bytes of an HTTP/1 client: a stable word for log and metrics, and the status of the response.

export type Http1FaultCode =
  | 'INVALID_METHOD'
  | 'INVALID_TARGET'
  | 'INVALID_VERSION'
  | 'INVALID_LINE_END'
  | 'INVALID_FIELD_NAME'
  | 'INVALID_FIELD_VALUE'
  | 'INVALID_CHUNK_SIZE'
  | 'INVALID_CHUNK_EXTENSION'
  | 'INVALID_CHUNK_END'
  | 'INVALID_TRAILER'
  | 'CHUNK_EXTENSIONS_TOO_LARGE'
  | 'TRAILERS_TOO_LARGE'
  | 'HEAD_TOO_LARGE'
  | 'HEAD_TIMEOUT'

/** @throws Http1Fault with `code` unless `condition` holds */
export function expect(condition: boolean, code: Http1FaultCode): asserts condition {
  if (!condition) throw new Http1Fault(code)
}

/** After it, no byte of the connection can be taken for the start of a request. */
export class Http1Fault extends Error {
  readonly code: Http1FaultCode

  constructor(code: Http1FaultCode) {
    super(code)
    this.code = code
  }

  get status(): 400 | 408 | 431 {
    if (this.code === 'HEAD_TOO_LARGE') return 431
    return this.code === 'HEAD_TIMEOUT' ? 408 : 400
  }
}
