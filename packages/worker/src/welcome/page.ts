// The welcome page for people: one self-contained document. Everything of the request is hostile and
// goes through `escape`; the page has no script, loads nothing, and its policy would stop both.
import { createHash } from 'node:crypto'
import { PAGE_STYLE } from './page-style.ts'
import type { RequestView } from './request-view.ts'

/** Only the page's own style sheet, by its hash, and its own icon. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(PAGE_STYLE).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** SPEC 7: what the proxy sets itself, whatever the client sent. */
const SET_BY_PROXY = new Set(['x-real-ip', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'])

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='8' fill='%231f6f3f'/%3E%3Cpath d='m4.5 8.2 2.4 2.4 4.6-5' fill='none' stroke='%23fff' stroke-width='1.8'/%3E%3C/svg%3E"

const CHECK_MARK =
  '<svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="8" fill="currentColor"/><path d="m4.5 8.2 2.4 2.4 4.6-5" fill="none" stroke="var(--ground)" stroke-width="1.8"/></svg>'

const FIRST_CONFIG = `rate_limit = { requests_per_second = 50, burst = 100 }
body = { limit_bytes = 10_485_760 }

[[listeners]]
bind_addr = "127.0.0.1"
https_port = 8443
http_port = 8080
tls = { mode = "internal" }

[[listeners.sites]]
host = "localhost"
upstream = "127.0.0.1:3000"
`

export function renderPage(view: RequestView): string {
  const url = urlOf(view)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>reverse-proxy is running</title>
<link rel="icon" href="${ICON}">
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<header>
<p class="status">${CHECK_MARK} HTTPS works</p>
<h1>reverse-proxy is running</h1>
<p class="lead">The proxy took your encrypted request, checked it and passed it on; this page is the small
built-in upstream that received it. Put a service of your own in its place and it will see the same.</p>
</header>
<section aria-labelledby="request">
<h2 id="request">Your request, as the upstream saw it</h2>
<p>Over plain HTTP/${escape(view.httpVersion)} on the loopback interface${describeBody(view.bodyBytes)}.</p>
<div class="card">
<div class="request-line"><span class="method">${escape(view.method)}</span>
<span class="path">${escape(view.path)}</span>
<span class="worker">worker ${view.worker}</span></div>
<table>
<caption>Header fields</caption>
<tbody>
${view.headers.map(renderHeader).join('\n')}
</tbody>
</table>
</div>
<p class="legend">Set by the proxy, whatever the client sent.</p>
</section>
<section aria-labelledby="next">
<h2 id="next">What to try next</h2>
<p>From the folder in which you started the proxy.</p>
<ol>
<li><p>Claim to be someone else, and see that it does not get through:</p>
${renderCommand(`curl -k -H 'X-Forwarded-For: 192.0.2.1' ${url}`)}</li>
<li><p>Save the lines below as <code>first.toml</code> and have them checked:</p>
${renderCommand('npx -y pnpm@12 -F supervisor start validate --config first.toml')}</li>
<li><p>Stop the proxy with Ctrl-C, then start it in front of your own service on port 3000:</p>
${renderCommand('npx -y pnpm@12 -F supervisor start --config first.toml')}</li>
</ol>
</section>
<section aria-labelledby="config">
<h2 id="config">A first configuration</h2>
<p>All it needs: two limits, where to listen, which host goes where.</p>
<pre class="card" id="first-config" tabindex="0" aria-label="first.toml">${escape(FIRST_CONFIG)}</pre>
</section>
</main>
</body>
</html>
`
}

function renderHeader({ name, value }: RequestView['headers'][number]): string {
  const ours = SET_BY_PROXY.has(name.toLowerCase()) ? ' class="ours"' : ''
  return `<tr${ours}><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`
}

function renderCommand(command: string): string {
  return `<pre class="card" tabindex="0">${escape(command)}</pre>`
}

function describeBody(bytes: number): string {
  return bytes === 0 ? '' : `, with a body of ${bytes} bytes`
}

// The host is what the client asked for; one that a shell could misread is not repeated in a command.
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

/** Text as HTML text or attribute value. */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}
