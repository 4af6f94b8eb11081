// The normal form of a path: every spelling of a path has the same, and it is its own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodePath, normalPath } from '../src/url-path.ts'

test('decoded once, dot segments removed, slashes merged', () => {
  for (const [path, normal] of [
    ['/', '/'],
    ['/api/x', '/api/x'],
    ['/api/', '/api/'],
    ['//api///x//', '/api/x/'],
    ['/./api/./x/.', '/api/x/'],
    ['/a/../api/b/..', '/api/'],
    ['/../../api', '/api'],
    ['/%61pi/%2e%2E/x', '/x'],
    ['/a%2Fb', '/a/b'],
    ['/a%252Fb', '/a%2Fb'],
    ['/100%', '/100%'],
    ['/%zz%', '/%zz%'],
    ['/.well-known/x', '/.well-known/x'],
    ['/..a/b..', '/..a/b..'],
    ['/caf%C3%A9', '/caf\u00c3\u00a9'],
  ] as const) {
    assert.equal(normalPath(path), normal, path)
  }
})

const segment = fc.stringMatching(/^[a-z.~!-]{1,6}$/).filter((text) => text !== '.' && text !== '..')
const plainPath = fc
  .tuple(fc.array(segment, { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([segments, isDirectory]) => `/${segments.join('/')}${isDirectory ? '/' : ''}`)

test('every spelling of a path has its normal form', () => {
  const noise = fc.array(fc.constantFrom('/', '/./', '/zz/../', '//', '/%2e/', '/q/%2E./'), {
    minLength: 40,
    maxLength: 40,
  })
  const encoded = fc.array(fc.boolean(), { minLength: 40, maxLength: 40 })
  fc.assert(
    fc.property(plainPath, noise, encoded, (path, separators, flags) => {
      let slash = 0
      let letter = 0
      const spelling = path
        .split('')
        .map((character) => {
          if (character === '/') return separators[slash++ % separators.length]
          if (!flags[letter++ % flags.length]) return character
          return `%${character.charCodeAt(0).toString(16)}`
        })
        .join('')
      assert.equal(normalPath(spelling), path, spelling)
    }),
  )
})

test('encoding gives a path with the same normal form, in which nothing has to be encoded', () => {
  const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 })
  fc.assert(
    fc.property(bytes, (codes) => {
      const normal = normalPath(`/${String.fromCharCode(...codes).replaceAll('%', '')}`)
      const encoded = encodePath(normal)
      assert.match(encoded, /^[\u0021-\u007e]+$/u)
      assert.equal(normalPath(encoded), normal)
    }),
  )
})
