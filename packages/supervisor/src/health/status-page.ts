// The status page: everything it needs is in it, and the policy it comes with lets nothing else in.
import { createHash } from 'node:crypto'
import { STATUS_SCRIPT } from './status-page-script.ts'
import { STATUS_STYLE } from './status-page-style.ts'

/** Content-Security-Policy: this script and this style, data from where the page came from, nothing more. */
export const STATUS_PAGE_POLICY = [
  "default-src 'none'",
  `script-src '${hashOf(STATUS_SCRIPT)}'`,
  `style-src '${hashOf(STATUS_STYLE)}'`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export const STATUS_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>reverse-proxy</title>
<style>${STATUS_STYLE}</style>
<main>
  <header>
    <h1>reverse-proxy</h1>
    <p id="state" role="status">connecting</p>
    <p id="facts"></p>
  </header>
  <section class="plots" aria-label="Traffic">
    <figure><figcaption>Requests per second <output id="rate"></output></figcaption><svg id="rate-plot" role="img" aria-label="Requests per second, the last five minutes"></svg></figure>
    <figure><figcaption>Latency, median and 99 % <output id="latency"></output></figcaption><svg id="latency-plot" role="img" aria-label="Latency, the last five minutes"></svg></figure>
    <figure><figcaption>Open connections <output id="connections"></output></figcaption><svg id="connections-plot" role="img" aria-label="Open connections, the last five minutes"></svg></figure>
  </section>
  <section><h2>Certificates</h2><table id="certificates"><thead><tr><th>Names<th>State<th class="n">Days left<th>Next attempt<th>Issuer<tbody></table></section>
  <section><h2>Workers</h2><table id="workers"><thead><tr><th>Worker<th>State<th class="n">Connections<th class="n">Requests<th class="n">Memory<th class="n">Lag<th>Since<tbody></table></section>
  <section><h2>Sites</h2><table id="sites"><thead><tr><th>Host<th class="n">Requests<th class="n">4xx<th class="n">5xx<th class="n">Mean<th class="n">Sent<tbody></table></section>
  <section><h2>Recent events</h2><table id="events"><thead><tr><th>Time<th>Event<th>What<tbody></table></section>
</main>
<script>${STATUS_SCRIPT}</script>
</html>
`

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}
