// Which site a host belongs to.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Router } from '../../src/pipeline/router.ts'

test('exact before wildcard; a wildcard stands for one label, and for one there is', () => {
  const router = new Router([
    ['a.example', 'exact'],
    ['*.a.example', 'wild'],
    ['www.a.example', 'exact www'],
    ['*.example', 'wider'],
  ])
  for (const [host, expected] of [
    ['a.example', 'exact'],
    ['www.a.example', 'exact www'],
    ['x.a.example', 'wild'],
    ['x.y.a.example', undefined],
    ['b.example', 'wider'],
    ['.a.example', undefined],
    ['.example', undefined],
    ['example', undefined],
    ['', undefined],
    ['*.a.example', 'wild'],
    ['__proto__', undefined],
    ['constructor', undefined],
  ] as const) {
    assert.equal(router.lookup(host), expected, host)
  }
})

function timeOf(sites: number): number {
  const router = new Router(Array.from({ length: sites }, (_, i) => [`${i}.example`, i] as const))
  const names = Array.from({ length: 10 }, (_, i) => `${(i * sites) / 10}.example`)
  const times = Array.from({ length: 5 }, () => {
    const startMs = performance.now()
    for (let i = 0; i < 5_000; i++) for (const name of names) router.lookup(name)
    return performance.now() - startMs
  })
  // The one in which the machine did least else.
  return Math.min(...times)
}

test('10,000 sites cost no more to look up than ten', () => {
  timeOf(10)
  // Wide enough for a noisy machine; a list would take hundreds of times as long.
  assert.ok(timeOf(10_000) < 20 * timeOf(10) + 20)
})
