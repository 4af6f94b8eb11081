// A request as the upstream saw it: what the welcome upstream shows, and how it is written for
// programs. Pure; the page for people is page.ts.

export interface RequestView {
  readonly method: string
  /** Path and query as received. */
  readonly path: string
  readonly httpVersion: string
  /** In the order and spelling received, repeated names included. */
  readonly headers: readonly { readonly name: string; readonly value: string }[]
  readonly bodyBytes: number
  /** Which worker answered. */
  readonly worker: number
}

/** Pairs from node's flat list of name, value, name, value, ... */
export function pairHeaders(rawHeaders: readonly string[]): RequestView['headers'] {
  const pairs: { name: string; value: string }[] = []
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    pairs.push({ name: rawHeaders[index] ?? '', value: rawHeaders[index + 1] ?? '' })
  }
  return pairs
}

/** For programs: stable keys, one indented JSON document, a newline at its end. */
export function renderJson(view: RequestView): string {
  return `${JSON.stringify(view, undefined, 2)}\n`
}

/**
 * Whether the client is a browser at heart: it names text/html in Accept and likes JSON no better.
 * `*` alone, which is what curl sends, means a program. RFC 9110 12.5.1.
 */
export function prefersHtml(accept: string | undefined): boolean {
  const html = qualityOf('text/html', accept)
  return html > 0 && html >= qualityOf('application/json', accept)
}

// Only a type that is named counts; ranges say nothing about what the client can show.
function qualityOf(mediaType: string, accept = ''): number {
  for (const part of accept.toLowerCase().split(',')) {
    const [type, ...parameters] = part.split(';').map((piece) => piece.trim())
    if (type !== mediaType) continue
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    return quality === undefined ? 1 : Number(quality.slice(2)) || 0
  }
  return 0
}
