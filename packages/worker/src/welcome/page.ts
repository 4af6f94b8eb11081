// Renders the welcome page for people: assets/welcome.html filled with the request, as one self-contained document.
// Every value from the request is hostile and goes through `escape`. The page has no script and loads nothing.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RequestView } from './request-view.ts'

const STYLE = asset('welcome.css')
const TEMPLATE = asset('welcome.html').replace('<!-- style -->', () => `<style>${STYLE}</style>`)

/** Permits the page's own style sheet, by its hash, and its own icon. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Header fields that the proxy sets itself. */
const SET_BY_PROXY = new Set([
  'x-real-ip',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-request-id',
])

export function renderPage(view: RequestView): string {
  const values: Readonly<Record<string, string>> = {
    httpVersion: escape(view.httpVersion),
    body: describeBody(view.bodyBytes),
    method: escape(view.method),
    path: escape(view.path),
    worker: String(view.worker),
    headers: view.headers.map(renderHeader).join('\n'),
    url: escape(urlOf(view)),
  }
  return TEMPLATE.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => values[name] ?? '')
}

function renderHeader({ name, value }: RequestView['headers'][number]): string {
  const ours = SET_BY_PROXY.has(name.toLowerCase()) ? ' class="ours"' : ''
  return `<tr${ours}><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`
}

function describeBody(bytes: number): string {
  return bytes === 0 ? '' : `, with a body of ${bytes} bytes`
}

// A host that a shell could interpret must not appear in a command that people copy.
function urlOf({ headers }: RequestView): string {
  const host = headers.find(({ name }) => name.toLowerCase() === 'host')?.value ?? ''
  return `https://${/^[\w.:[\]-]+$/.test(host) ? host : 'localhost:8443'}/`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Escapes text for HTML content and attribute values. */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}

function asset(name: string): string {
  return readFileSync(new URL(`../../assets/${name}`, import.meta.url), 'utf8')
}
