// One small file of a cache directory, read so that a damaged one costs its content and nothing else.
import { join } from 'node:path'
import { cacheError } from './atomic-file.ts'
import { DamagedFileError, readPrivateFile } from './private-file.ts'
import type { OnQuarantined } from './quarantine.ts'
import { putAside } from './quarantine.ts'

/** The longest thing kept is an answer of the CA (1 MiB), quoted. */
const LIMIT_BYTES = 8 * 1024 * 1024

export interface CacheFile<Content> {
  readonly directory: string
  /** Path inside the directory. */
  readonly name: string
  /** Undefined: the text is not what we write. */
  readonly parse: (text: string) => Content | undefined
  readonly onQuarantined: OnQuarantined
}

/** Undefined if there is none, or what is there had to be put aside. Throws CACHE when it cannot be read at all. */
export async function readCacheFile<Content>(file: CacheFile<Content>): Promise<Content | undefined> {
  const { directory, name, parse, onQuarantined } = file
  try {
    const text = await readPrivateFile(join(directory, name), LIMIT_BYTES)
    if (text === undefined) return undefined
    const content = parse(text)
    if (content === undefined) throw new DamagedFileError('its content is damaged')
    return content
  } catch (error) {
    if (!(error instanceof DamagedFileError)) throw cacheError(directory, error)
    const put = await putAside(directory, name, error.message)
    if (put !== undefined) onQuarantined(put)
    return undefined
  }
}
