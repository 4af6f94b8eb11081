// Where in the text a key stands. Loaded only when there is something to report: the parser that
// knows places is slower than the one that reads, and a good file needs none.
import type { ConfigPath } from '@reverse-proxy/shared/config/issues'
import type { AST } from 'toml-eslint-parser'

interface Position {
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 code units. */
  readonly column: number
}

/** Finds the place of a path: its key, its array element, or the nearest table around it that is there. */
export type Locate = (at: ConfigPath) => Position

/** `text` is valid TOML; a construct that only the reading parser knows leaves every place at the start. */
export async function locator(text: string): Promise<Locate> {
  const { parseTOML, ParseError } = await import('toml-eslint-parser')
  const places = new Map<string, Position>()
  try {
    const [top] = parseTOML(text, { tomlVersion: 'latest' }).body
    for (const node of top.body) {
      if (node.type === 'TOMLTable') placeTable(node, places)
      else placeKeyValue(node, [], places)
    }
  } catch (error) {
    if (!(error instanceof ParseError)) throw error
  }
  return (at) => {
    for (let length = at.length; length > 0; length--) {
      const found = places.get(placeKey(at.slice(0, length)))
      if (found !== undefined) return found
    }
    return { line: 1, column: 1 }
  }
}

function placeTable(table: AST.TOMLTable, places: Map<string, Position>): void {
  for (let length = 1; length <= table.resolvedKey.length; length++) {
    place(table.resolvedKey.slice(0, length), table, places)
  }
  for (const entry of table.body) placeKeyValue(entry, table.resolvedKey, places)
}

/** `a.b = 1` is also the place of `a`. */
function placeKeyValue(entry: AST.TOMLKeyValue, base: ConfigPath, places: Map<string, Position>): void {
  let at = base
  for (const key of entry.key.keys) {
    at = [...at, key.type === 'TOMLBare' ? key.name : key.value]
    place(at, key, places)
  }
  placeValue(entry.value, at, places)
}

function placeValue(value: AST.TOMLContentNode, at: ConfigPath, places: Map<string, Position>): void {
  if (value.type === 'TOMLArray') {
    for (const [index, element] of value.elements.entries()) {
      place([...at, index], element, places)
      placeValue(element, [...at, index], places)
    }
  } else if (value.type === 'TOMLInlineTable') {
    for (const entry of value.body) placeKeyValue(entry, at, places)
  }
}

/** The first mention counts: `[[listeners]]` comes again for every listener. */
function place(at: ConfigPath, node: AST.TOMLNode, places: Map<string, Position>): void {
  const key = placeKey(at)
  const { line, column } = node.loc.start
  if (!places.has(key)) places.set(key, { line, column: column + 1 })
}

function placeKey(at: ConfigPath): string {
  return JSON.stringify(at)
}
