// A CPU profile as a flame graph: wider is longer, above is called by what is below. SVG, with names on hovering.
import type { Profiler } from 'node:inspector'

interface Frame {
  readonly name: string
  selfUs: number
  readonly children: Map<string, Frame>
}

const WIDTH = 1400
const ROW = 17
/** Narrower than this is left out. */
const LEAST_WIDTH = 1
const CHARACTER_WIDTH = 6.2
/** Waiting is no work. */
const IDLE = new Set(['(idle)', '(root)'])

export function drawFlameGraph(profile: Profiler.Profile, title: string): string {
  const root = aggregate(profile)
  const total = totalUs(root)
  const boxes: string[] = []
  const depth = draw(root, 0, 0, WIDTH / Math.max(1, total), boxes)
  const height = (depth + 3) * ROW
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="11"><rect width="100%" height="100%" fill="#fff"/><text x="6" y="14" font-size="13">${escape(title)}</text><g transform="translate(0 ${height}) scale(1 1)">${boxes.join('')}</g></svg>\n`
}

/** The profile's call tree, without its idle time. */
function aggregate({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Frame {
  const selfUs = new Map<number, number>()
  for (const [index, id] of samples.entries())
    selfUs.set(id, (selfUs.get(id) ?? 0) + (timeDeltas[index] ?? 0))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const build = (node: Profiler.ProfileNode, into: Frame): void => {
    into.selfUs += selfUs.get(node.id) ?? 0
    for (const childId of node.children ?? []) {
      const child = byId.get(childId)
      if (child === undefined || IDLE.has(child.callFrame.functionName)) continue
      const name = nameOf(child)
      const frame = into.children.get(name) ?? { name, selfUs: 0, children: new Map() }
      into.children.set(name, frame)
      build(child, frame)
    }
  }
  const root: Frame = { name: 'all', selfUs: 0, children: new Map() }
  const [first] = nodes
  if (first !== undefined) build(first, root)
  root.selfUs = 0
  return root
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: Profiler.ProfileNode): string {
  const file = url.slice(url.lastIndexOf('/') + 1)
  return `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`
}

function totalUs(frame: Frame): number {
  return frame.selfUs + [...frame.children.values()].reduce((sum, child) => sum + totalUs(child), 0)
}

/** Adds the boxes of `frame` and of what it called; returns how deep it goes. */
function draw(frame: Frame, x: number, level: number, scale: number, boxes: string[]): number {
  const width = totalUs(frame) * scale
  const label = frame.name.slice(0, Math.max(0, Math.floor(width / CHARACTER_WIDTH) - 1))
  const y = -(level + 1) * ROW
  boxes.push(
    `<g><title>${escape(frame.name)}: ${((width / WIDTH) * 100).toFixed(1)} %</title><rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colorOf(frame.name)}"/><text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escape(label)}</text></g>`,
  )
  let deepest = level
  let at = x
  for (const child of [...frame.children.values()].toSorted((a, b) => totalUs(b) - totalUs(a))) {
    const childWidth = totalUs(child) * scale
    if (childWidth >= LEAST_WIDTH) deepest = Math.max(deepest, draw(child, at, level + 1, scale, boxes))
    at += childWidth
  }
  return deepest
}

/** Ours stand out from the runtime's and the libraries'. */
function colorOf(name: string): string {
  if (name.startsWith('(')) return '#d5d5d5'
  return / (?:node:|internal|_)|node_modules/u.test(name) ? '#f3c98b' : '#9ccfa8'
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
