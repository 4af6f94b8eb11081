// The credentials of Basic authentication (RFC 7617 2). Pure.
import { lowerFieldName } from './field-names.ts'

export interface BasicCredentials {
  readonly user: string
  readonly password: string
}

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/iu
/** RFC 7617 2: neither may contain control characters. */
const CONTROL = /[\0-\u001f\u007f]/u
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The credentials in a header section with exactly one Authorization field. */
export function basicCredentialsOf(rawHeaders: readonly string[]): BasicCredentials | undefined {
  let authorization: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (lowerFieldName(rawHeaders[i]!) !== 'authorization') continue
    if (authorization !== undefined) return undefined
    authorization = rawHeaders[i + 1]!
  }
  return authorization === undefined ? undefined : parseBasicCredentials(authorization)
}

function parseBasicCredentials(authorization: string): BasicCredentials | undefined {
  const token = BASIC.exec(authorization)
  if (token === null) return undefined
  const text = decode(Buffer.from(token[1] ?? '', 'base64'))
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon === -1 || CONTROL.test(text)) return undefined
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** UTF-8, which we ask for; ISO 8859-1 from the clients that send that nevertheless. */
function decode(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return bytes.toString('latin1')
  }
}
