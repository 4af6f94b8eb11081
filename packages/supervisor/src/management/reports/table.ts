// Renders tables for people: plain text, aligned, no colour. Pure.

export interface Column<Row> {
  readonly title: string
  readonly align?: 'left' | 'right'
  readonly text: (row: Row) => string
}

const GAP = '  '
// Characters that must not reach a terminal unescaped: names in a response of a CA may be hostile.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu

/** One line for the titles, one per row. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => printable(text(row)))),
  ]
  const widths = columns.map((_column, index) =>
    Math.max(...lines.map((cells) => (cells[index] ?? '').length)),
  )
  return lines.map((cells) => `${renderLine(columns, widths, cells)}\n`).join('')
}

/** `name   value`, one per line. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, value]) => `${name.padEnd(width)}${GAP}${printable(value)}\n`).join('')
}

function renderLine<Row>(
  columns: readonly Column<Row>[],
  widths: readonly number[],
  cells: readonly string[],
): string {
  const padded = cells.map((cell, index) => {
    const width = widths[index] ?? 0
    return columns[index]?.align === 'right' ? cell.padStart(width) : cell.padEnd(width)
  })
  return padded.join(GAP).trimEnd()
}

export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '?')
}
