// Password hashes as files hold them: argon2id and scrypt in the PHC string format, bcrypt as htpasswd writes it.
// Parses, makes and compares them; argon2id and scrypt are the runtime's. Everything here takes tens of milliseconds
// of CPU and blocks its thread: the pool calls it.
import { argon2Sync, randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { compareSync, truncates } from 'bcryptjs'

export type PasswordHash =
  | {
      readonly kind: 'argon2id'
      readonly memoryKib: number
      readonly passes: number
      readonly parallelism: number
      readonly salt: Uint8Array
      readonly tag: Uint8Array
    }
  | {
      readonly kind: 'scrypt'
      readonly log2Cost: number
      readonly blockSize: number
      readonly parallelism: number
      readonly salt: Uint8Array
      readonly tag: Uint8Array
    }
  | { readonly kind: 'bcrypt'; readonly text: string }

// OWASP's first recommendation for argon2id.
const MEMORY_KIB = 19_456
const PASSES = 2
const PARALLELISM = 1
const SALT_BYTES = 16
const TAG_BYTES = 32

// A hash that costs more than these would let one request occupy a thread for seconds.
const MAX_MEMORY_KIB = 262_144
const MAX_PASSES = 16
const MAX_PARALLELISM = 16
const MAX_SCRYPT_LOG2_COST = 18
const MAX_SCRYPT_BLOCK_SIZE = 16
const MAX_BCRYPT_COST = 14

const ARGON2ID =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})$/u
const SCRYPT =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})$/u
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/u

/** @returns the hash, or why it is not accepted, for the operator */
export function parsePasswordHash(text: string): PasswordHash | string {
  const argon2 = ARGON2ID.exec(text)
  if (argon2 !== null) {
    const [memoryKib = 0, passes = 0, parallelism = 0] = argon2.slice(1, 4).map(Number)
    const isBounded =
      parallelism >= 1 &&
      parallelism <= MAX_PARALLELISM &&
      passes >= 1 &&
      passes <= MAX_PASSES &&
      memoryKib >= 8 * parallelism &&
      memoryKib <= MAX_MEMORY_KIB
    if (!isBounded)
      return `its parameters are out of range (memory up to ${MAX_MEMORY_KIB} KiB, ${MAX_PASSES} passes, parallelism ${MAX_PARALLELISM})`
    return { kind: 'argon2id', memoryKib, passes, parallelism, ...saltAndTag(argon2) }
  }
  const scrypt = SCRYPT.exec(text)
  if (scrypt !== null) {
    const [log2Cost = 0, blockSize = 0, parallelism = 0] = scrypt.slice(1, 4).map(Number)
    const isBounded =
      log2Cost >= 1 &&
      log2Cost <= MAX_SCRYPT_LOG2_COST &&
      blockSize >= 1 &&
      blockSize <= MAX_SCRYPT_BLOCK_SIZE &&
      parallelism >= 1 &&
      parallelism <= MAX_PARALLELISM
    if (!isBounded)
      return `its parameters are out of range (ln up to ${MAX_SCRYPT_LOG2_COST}, r ${MAX_SCRYPT_BLOCK_SIZE}, p ${MAX_PARALLELISM})`
    return { kind: 'scrypt', log2Cost, blockSize, parallelism, ...saltAndTag(scrypt) }
  }
  const bcrypt = BCRYPT.exec(text)
  if (bcrypt !== null) {
    const cost = Number(bcrypt[1])
    if (cost < 4 || cost > MAX_BCRYPT_COST) return `its cost is out of range (4 to ${MAX_BCRYPT_COST})`
    return { kind: 'bcrypt', text }
  }
  return 'it is none of argon2id, scrypt and bcrypt'
}

/** A line's hash for `password`: argon2id in the PHC string format. */
export function hashPassword(password: string): string {
  const salt = randomBytes(SALT_BYTES)
  const tag = argon2id(
    password,
    { memoryKib: MEMORY_KIB, passes: PASSES, parallelism: PARALLELISM, salt },
    TAG_BYTES,
  )
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${PARALLELISM}$${base64(salt)}$${base64(tag)}`
}

/** Whether `password` has that hash. */
export function isPassword(password: string, hash: PasswordHash): boolean {
  switch (hash.kind) {
    case 'argon2id':
      return timingSafeEqual(argon2id(password, hash, hash.tag.length), hash.tag)
    case 'scrypt': {
      const { log2Cost, blockSize, parallelism, salt, tag } = hash
      const cost = 2 ** log2Cost
      // The runtime refuses to use more than 32 MiB unless it is told so.
      const maxmem = 256 * cost * blockSize
      const derived = scryptSync(password, salt, tag.length, {
        cost,
        blockSize,
        parallelization: parallelism,
        maxmem,
      })
      return timingSafeEqual(derived, tag)
    }
    case 'bcrypt':
      // bcrypt looks at 72 bytes: whatever begins like the password would be taken for it.
      return !truncates(password) && compareSync(password, hash.text)
    default:
      return assertNever(hash)
  }
}

type Argon2Parameters = Pick<
  Extract<PasswordHash, { kind: 'argon2id' }>,
  'memoryKib' | 'passes' | 'parallelism' | 'salt'
>

function argon2id(
  password: string,
  { memoryKib, passes, parallelism, salt }: Argon2Parameters,
  tagLength: number,
): Buffer {
  return argon2Sync('argon2id', {
    message: password,
    nonce: salt,
    parallelism,
    tagLength,
    memory: memoryKib,
    passes,
  })
}

function saltAndTag(match: RegExpExecArray): { readonly salt: Uint8Array; readonly tag: Uint8Array } {
  const [, , , , salt = '', tag = ''] = match
  return { salt: Buffer.from(salt, 'base64'), tag: Buffer.from(tag, 'base64') }
}

/** PHC: base64 without padding. */
function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}
