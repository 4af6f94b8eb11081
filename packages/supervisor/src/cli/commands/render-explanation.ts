// Renders the explanation of a request for people. Pure.
import type { Explanation, Field, Step } from '@reverse-proxy/worker/explain/explanation'
import { printable, renderFields, renderTable } from '../../management/reports/table.ts'

export function renderExplanation({ steps, client, site, route, upstream, response }: Explanation): string {
  const table = renderTable<Step>(
    [
      { title: 'STEP', text: ({ step }) => step },
      { title: 'GOES ON', text: ({ passes, step }) => (step === 'action' ? '-' : passes ? 'yes' : 'NO') },
      { title: 'WHY', text: ({ why }) => why },
    ],
    steps,
  )
  const facts = renderFields([
    ['client', client],
    ['site', site ?? '-'],
    ['route', route ?? '-'],
  ])
  let text = `${table}\n${facts}`
  if (upstream !== null) {
    const { peers, method, path, headers, response_headers: changes } = upstream
    text += `\nTo ${printable(peers.join(' or '))}:\n  ${printable(`${method} ${path}`)}\n${fieldLines(headers)}`
    if (changes.length > 0) text += `On its response:\n${changes.map(renderChange).join('')}`
  }
  if (response !== null) {
    const { status, headers, body } = response
    text += `\nResponse of the proxy:\n  ${status}\n${fieldLines(headers)}`
    if (body !== '')
      text += `\n${body
        .split('\n')
        .map((line) => `  ${printable(line)}\n`)
        .join('')}`
  }
  return text
}

function fieldLines(fields: readonly Field[]): string {
  return fields.map(([name, value]) => `  ${printable(`${name}: ${value}`)}\n`).join('')
}

function renderChange([name, value]: Field): string {
  return `  ${printable(value === '' ? `remove ${name}` : `set ${name}: ${value}`)}\n`
}
