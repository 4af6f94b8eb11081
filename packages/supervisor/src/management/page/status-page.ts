// The files of the status page, read once, and the response header fields they are served with.
import { readFileSync } from 'node:fs'

/** Content-Security-Policy: the page's own files and its event stream, nothing else. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

interface PageFile {
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Buffer
}

/** By request path. */
export const STATUS_PAGE_FILES: ReadonlyMap<string, PageFile> = new Map([
  ['/', pageFile('status-page.html', 'text/html')],
  ['/status-page.css', pageFile('status-page.css', 'text/css')],
  ['/status-page.js', pageFile('status-page.js', 'text/javascript')],
])

function pageFile(name: string, type: string): PageFile {
  return {
    headers: {
      'Content-Type': `${type}; charset=utf-8`,
      'Content-Security-Policy': POLICY,
      'X-Content-Type-Options': 'nosniff',
    },
    bytes: readFileSync(new URL(`../../../assets/${name}`, import.meta.url)),
  }
}
