// Payload: a client names headers in `Connection` to have the proxy's own removed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forwarded, passedOn, receivedBefore, sendAndKeep, startTarget } from '../support/target.ts'

const TIMEOUT = { timeout: 20_000 }
const COPIES =
  'X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.example\r\n' +
  'Forwarded: for=6.6.6.6\r\nAuthorization: x\r\n'
const NAMED =
  'X-Forwarded-For, Authorization, X-Real-IP, X-Forwarded-Proto, X-Forwarded-Host, Host, Content-Length'

for (const [name, fields, connection] of [
  ['in one line', `Connection: close, ${NAMED}\r\n`, 'close'],
  ['in several lines', `Connection: X-Forwarded-For\r\nconnection: ${NAMED}\r\n`, 'keep-alive'],
  ['with odd spacing', `Connection: ,\t${NAMED.replaceAll(', ', '\t ,,')},\r\n`, 'keep-alive'],
] as const) {
  test(
    `payload: Connection names our headers ${name}: theirs are gone, ours are there`,
    TIMEOUT,
    async (t) => {
      const target = await startTarget(t)
      const seen = await sendAndKeep(
        t,
        target,
        `POST /x HTTP/1.1\r\nHost: a.example\r\n${fields}${COPIES}X-Kept: v\r\nContent-Length: 2\r\n\r\nhi`,
      )
      assert.equal(seen, passedOn(connection))
      const sent = forwarded('POST /x', { fields: 'X-Kept: v\r\n', body: 'hi' })
      assert.equal(await receivedBefore(t, target), sent)
    },
  )
}
