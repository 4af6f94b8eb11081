// A request as the welcome upstream received it, its JSON form for programs, and the choice between JSON and HTML.
// Pure; page.ts renders the HTML.

export interface RequestView {
  readonly method: string
  /** Path and query as received. */
  readonly path: string
  readonly httpVersion: string
  /** In the order and spelling received, including repeated names. */
  readonly headers: readonly { readonly name: string; readonly value: string }[]
  readonly bodyBytes: number
  /** Number of the worker that responded. */
  readonly worker: number
}

/** Turns Node's flat list of names and values into pairs. */
export function pairHeaders(rawHeaders: readonly string[]): RequestView['headers'] {
  const pairs: { name: string; value: string }[] = []
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    pairs.push({ name: rawHeaders[index] ?? '', value: rawHeaders[index + 1] ?? '' })
  }
  return pairs
}

/** One indented JSON document with stable keys and a newline at its end. */
export function renderJson(view: RequestView): string {
  return `${JSON.stringify(view, undefined, 2)}\n`
}

/**
 * True if `accept` names text/html and does not prefer JSON to it, as browsers do (RFC 9110 12.5.1). A range such as
 * the one that curl sends stands for a program.
 */
export function prefersHtml(accept: string | undefined): boolean {
  const html = qualityOf('text/html', accept)
  return html > 0 && html >= qualityOf('application/json', accept)
}

// Ignores ranges: they do not tell what the client can display.
function qualityOf(mediaType: string, accept = ''): number {
  for (const part of accept.toLowerCase().split(',')) {
    const [type, ...parameters] = part.split(';').map((piece) => piece.trim())
    if (type !== mediaType) continue
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    return quality === undefined ? 1 : Number(quality.slice(2)) || 0
  }
  return 0
}
