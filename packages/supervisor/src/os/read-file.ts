// Reads the small files of a configuration: regular files only, within a limit on their size, and only if they do not
// change meanwhile.
import { constants, type BigIntStats } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { codeOf } from '@reverse-proxy/shared/error-text'

/** A certificate, a key, a bundle of roots. */
const MAX_FILE_BYTES = 1024 * 1024
/** For the configuration itself: 10,000 sites take about one MB. */
const MAX_CONFIG_BYTES = 16 * 1024 * 1024

export type ReadFault = 'missing' | 'denied' | 'not-a-file' | 'too-large' | 'changed' | 'failed'

export class ReadError extends Error {
  readonly fault: ReadFault

  constructor(fault: ReadFault, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'ReadError'
    this.fault = fault
  }
}

/**
 * Reads a regular file of at most `maxBytes`.
 * @param readAll reads the bytes of the open file
 * @throws ReadError; `changed` if the file was written or replaced meanwhile, so that the bytes may mix two versions
 */
export async function readSmallFile(
  path: string,
  readAll = (handle: FileHandle): Promise<Buffer> => handle.readFile(),
  maxBytes = MAX_FILE_BYTES,
): Promise<Buffer> {
  try {
    // Do not hang if the path is a pipe.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const before = await handle.stat({ bigint: true })
    if (!before.isFile()) throw new ReadError('not-a-file', `${path} is not a regular file`)
    if (before.size > maxBytes) {
      throw new ReadError('too-large', `${path} has ${before.size} bytes; at most ${maxBytes} are read`)
    }
    const bytes = await readAll(handle)
    const after = await handle.stat({ bigint: true })
    const named = await stat(path, { bigint: true })
    if (isSame(before, after) && isSame(before, named) && BigInt(bytes.length) === before.size) return bytes
  } catch (error) {
    throw error instanceof ReadError ? error : readError(path, error)
  }
  throw new ReadError('changed', `${path} changed while it was being read`)
}

/** `readSmallFile` for the configuration. */
export async function readConfigFile(path: string): Promise<Buffer> {
  return await readSmallFile(path, undefined, MAX_CONFIG_BYTES)
}

/** The configuration on standard input, up to its end. Throws ReadError: it can be read once only. */
export async function readStandardInput(input: NodeJS.ReadStream = process.stdin): Promise<Buffer> {
  if (input.readableEnded) throw new ReadError('failed', 'standard input can be read only once')
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of input) {
      const part = Buffer.from(chunk)
      bytes += part.length
      if (bytes > MAX_CONFIG_BYTES)
        throw new ReadError('too-large', `standard input has more than ${MAX_CONFIG_BYTES} bytes`)
      chunks.push(part)
    }
  } catch (error) {
    throw error instanceof ReadError ? error : readError('standard input', error)
  }
  return Buffer.concat(chunks)
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return (
    a.dev === b.dev &&
    a.ino === b.ino &&
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs
  )
}

function readError(path: string, cause: unknown): ReadError {
  const code = codeOf(cause)
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new ReadError('missing', `${path} does not exist`, cause)
    case 'EACCES':
    case 'EPERM':
      return new ReadError('denied', `${path} may not be read`, cause)
    case 'EISDIR':
      return new ReadError('not-a-file', `${path} is a directory`, cause)
    case undefined:
    default:
      return new ReadError('failed', `${path} cannot be read: ${String(code ?? cause)}`, cause)
  }
}

/** Hints for the operator. */
export const READ_HINTS: Readonly<Record<ReadFault, string>> = {
  missing: 'check the spelling; a relative path counts from the directory of the configuration file',
  denied: 'let the account that starts the program read it (and enter its directories)',
  'not-a-file': 'name a regular file',
  'too-large': 'is it the right file?',
  changed: 'try again when nothing writes to it; editors and scripts should write elsewhere and rename',
  failed: 'check the disk and the mount',
}
