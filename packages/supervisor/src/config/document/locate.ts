// Gives issues their positions: in the configuration file, or in the included file that a site comes from. The parser
// that knows positions runs only for a file that has an issue.
import { formatPath, type ConfigIssue, type ConfigPath } from '@reverse-proxy/shared/config/issues'
import type { LocatedIssue } from './config-errors.ts'
import { locator, type Locate } from './positions.ts'

export interface TextSource {
  /** The name of the file in reports. */
  readonly file: string
  readonly text: string
}

interface Origin {
  readonly source: TextSource
  readonly at: ConfigPath
}

/** `listeners[0].sites[1]` at the beginning of a path and in messages. */
const SITE = /\blisteners\[\d+\]\.sites\[\d+\]/gu
const SITE_DEPTH = 4

export class IssueLocator {
  readonly #main: TextSource
  /** Included sites by their path in the document. */
  readonly #origins = new Map<string, Origin>()
  /** In the order of reports. */
  readonly #sources: TextSource[]

  constructor(main: TextSource) {
    this.#main = main
    this.#sources = [main]
  }

  /** Notes that the site at `site` of the document stands at `at` of `source`. */
  move(site: ConfigPath, source: TextSource, at: ConfigPath): void {
    this.#origins.set(formatPath(site), { source, at })
    if (this.#sources.at(-1) !== source) this.#sources.push(source)
  }

  /** Returns the issues file by file, each in the order of its text. */
  async locate(issues: readonly ConfigIssue[]): Promise<LocatedIssue[]> {
    const bySource = new Map<TextSource, ConfigIssue[]>()
    for (const issue of issues) {
      const { source, at } = this.#originOf(issue.at)
      const message = issue.message.replaceAll(SITE, (site) => this.#nameOf(site))
      const moved = { ...issue, at, path: formatPath(at), message }
      const others = bySource.get(source)
      if (others === undefined) bySource.set(source, [moved])
      else others.push(moved)
    }
    const located: LocatedIssue[] = []
    for (const source of this.#sources) {
      const own = bySource.get(source)
      if (own !== undefined) located.push(...placed(own, source, await locator(source.text)))
    }
    return located
  }

  #originOf(at: ConfigPath): Origin {
    const origin = this.#origins.get(formatPath(at.slice(0, SITE_DEPTH)))
    if (origin === undefined) return { source: this.#main, at }
    return { source: origin.source, at: [...origin.at, ...at.slice(SITE_DEPTH)] }
  }

  #nameOf(site: string): string {
    const origin = this.#origins.get(site)
    return origin === undefined ? site : `${origin.source.file}: ${formatPath(origin.at)}`
  }
}

function placed(issues: readonly ConfigIssue[], { file }: TextSource, locate: Locate): LocatedIssue[] {
  return issues
    .map((issue) => ({ ...issue, file, ...locate(issue.at) }))
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
}
