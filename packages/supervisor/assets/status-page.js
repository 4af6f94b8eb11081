// Draws each snapshot of the status feed. Everything from outside is set as text, never as markup.
'use strict'
const POINTS = 150
const history = []
const find = (id) => document.getElementById(id)

function element(name, text, className) {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (className) made.className = className
  return made
}

/** Rows of cells: a text, or [text, class, small text below]. */
function fill(id, rows) {
  const body = find(id).tBodies[0]
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = element('tr')
      for (const cell of cells) {
        const [text, className, below] = Array.isArray(cell) ? cell : [cell]
        const made = element('td', text, className)
        if (below) made.append(element('small', below))
        row.append(made)
      }
      return row
    }),
  )
}

function plot(id, series) {
  const svg = find(id)
  const top = Math.max(1e-9, ...series.flat().filter(Number.isFinite))
  svg.setAttribute('viewBox', '0 0 ' + (POINTS - 1) + ' 100')
  svg.setAttribute('preserveAspectRatio', 'none')
  const shapes = [0, 50, 100].map((y) => {
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'line')
    for (const [name, value] of [
      ['x1', 0],
      ['x2', POINTS - 1],
      ['y1', y],
      ['y2', y],
    ])
      line.setAttribute(name, value)
    return line
  })
  series.forEach((values, index) => {
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path')
    const from = POINTS - values.length
    const points = values.flatMap((value, x) =>
      Number.isFinite(value) ? [from + x + ' ' + (100 - (value / top) * 96).toFixed(1)] : [],
    )
    path.setAttribute('d', points.length === 0 ? '' : 'M' + points.join('L'))
    if (index > 0) path.setAttribute('class', 'second')
    shapes.push(path)
  })
  svg.replaceChildren(...shapes)
}

/** Milliseconds below which the part of the requests lies that came between two histograms. */
function quantile(before, after, bounds, part) {
  const counts = after.map((count, index) => count - before[index])
  const all = counts.reduce((sum, count) => sum + count, 0)
  if (all === 0) return NaN
  let seen = 0
  for (let index = 0; index < counts.length; index++) {
    if (seen + counts[index] >= all * part) {
      const low = index === 0 ? 0 : bounds[index - 1]
      const high = bounds[index] ?? low
      return low + ((all * part - seen) / counts[index]) * (high - low)
    }
    seen += counts[index]
  }
  return NaN
}

const number = (value) =>
  value === null || value === undefined || Number.isNaN(value) ? '' : Math.round(value).toLocaleString('en')
const milliseconds = (value) =>
  Number.isNaN(value) || value === null ? '' : value < 10 ? value.toFixed(1) + ' ms' : number(value) + ' ms'
function bytes(value) {
  if (value === null) return ''
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000
  return (unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)) + ' ' + units[unit]
}
const time = (iso) => (iso === null ? '' : iso.slice(0, 16).replace('T', ' ') + ' UTC')

function drawTraffic(snapshot) {
  const open = snapshot.workers.reduce((sum, worker) => sum + (worker.connections ?? 0), 0)
  // Workers report in turn: over four seconds each has.
  const before = history.length >= 2 ? history[history.length - 2] : history[0]
  const point = { at: snapshot.at, total: snapshot.total, open, rate: NaN, median: NaN, slow: NaN }
  if (before) {
    point.rate = Math.max(
      0,
      (snapshot.total.requests - before.total.requests) / ((snapshot.at - before.at) / 1000),
    )
    point.median = quantile(before.total.durations, snapshot.total.durations, snapshot.durationBoundsMs, 0.5)
    point.slow = quantile(before.total.durations, snapshot.total.durations, snapshot.durationBoundsMs, 0.99)
  }
  history.push(point)
  if (history.length > POINTS) history.shift()
  find('rate').textContent = Number.isNaN(point.rate)
    ? ''
    : point.rate < 10
      ? point.rate.toFixed(1)
      : number(point.rate)
  find('latency').textContent = [milliseconds(point.median), milliseconds(point.slow)]
    .filter(Boolean)
    .join(' · ')
  find('connections').textContent = number(open)
  plot('rate-plot', [history.map(({ rate }) => rate)])
  plot('latency-plot', [history.map(({ median }) => median), history.map(({ slow }) => slow)])
  plot('connections-plot', [history.map((one) => one.open)])
}

function drawCertificates(snapshot) {
  const classes = { valid: 'good', expiring: 'warn', pending: 'warn', expired: 'bad' }
  fill(
    'certificates',
    snapshot.certificates.map((one) => {
      const days =
        one.not_after === null ? '' : ((Date.parse(one.not_after) - snapshot.at) / 86400000).toFixed(1)
      const trouble = [
        one.missing.length > 0 && 'lacks ' + one.missing.join(', '),
        one.alarm !== null && 'renewal ' + one.alarm,
        one.unsaved !== null && 'not saved: ' + one.unsaved.reason,
        one.failure !== null && one.failure.reason,
      ]
        .filter(Boolean)
        .join('; ')
      return [
        [one.names.join(', ') || '(none yet)', '', one.listener],
        [one.state, classes[one.state], trouble],
        [days, 'n ' + (classes[one.state] ?? ''), time(one.not_after)],
        time(one.next_attempt_at),
        one.issuer ?? '',
      ]
    }),
  )
}

function draw(snapshot) {
  const { status } = snapshot
  const state = find('state')
  state.textContent = status.ready
    ? 'ready'
    : status.phase === 'serving'
      ? 'serving, not ready'
      : status.phase
  state.className = status.ready ? 'good' : 'bad'
  find('facts').textContent =
    'version ' +
    status.version +
    ', pid ' +
    status.pid +
    ', since ' +
    time(status.started_at) +
    (status.last_reload === null
      ? ''
      : ', last reload ' + status.last_reload.status + ' ' + time(status.last_reload.at))
  drawTraffic(snapshot)
  drawCertificates(snapshot)
  fill(
    'workers',
    snapshot.workers.map((one) => [
      [String(one.worker), '', 'pid ' + one.pid],
      [one.stage, one.stage === 'ready' ? 'good' : 'warn'],
      [number(one.connections), 'n'],
      [number(one.requests), 'n'],
      [bytes(one.rss_bytes), 'n'],
      [milliseconds(one.event_loop_lag_ms), 'n'],
      time(one.started_at),
    ]),
  )
  fill(
    'sites',
    snapshot.sites.map((one) => [
      one.site || '(no site)',
      [number(one.requests), 'n'],
      [number(one.clientErrors), 'n'],
      [number(one.serverErrors), 'n' + (one.serverErrors > 0 ? ' bad' : '')],
      [milliseconds(one.meanMs), 'n'],
      [bytes(one.bytes), 'n'],
    ]),
  )
  fill(
    'events',
    snapshot.events.toReversed().map((one) => [
      time(one.at).slice(0, 10) + ' ' + one.at.slice(11, 19),
      [one.event, one.level === 'error' ? 'bad' : one.level === 'warn' ? 'warn' : ''],
      Object.entries(one.fields)
        .map(([name, value]) => name + '=' + value)
        .join(' '),
    ]),
  )
}

const source = new EventSource('events')
source.addEventListener('message', (message) => draw(JSON.parse(message.data)))
source.addEventListener('error', () => {
  find('state').textContent = 'not reachable'
  find('state').className = 'bad'
})
