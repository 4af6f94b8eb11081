// What a client sends means the same however it is cut: every input of the other tests, at every byte.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { http1Inputs } from '../support/http1-inputs.ts'
import { serveOwn } from '../support/http1-wire.ts'

const MAX_BYTES = 2_048

test(
  'HTTP/1: inputs under 2 KB, cut in two at every byte, mean what they mean in one piece',
  { timeout: 120_000 },
  async () => {
    let cuts = 0
    for (const { name, bytes } of http1Inputs()) {
      if (bytes.length > MAX_BYTES) continue
      const whole = Buffer.from(bytes, 'latin1')
      const expected = await serveOwn([whole])
      for (let at = 1; at < whole.length; at++) {
        cuts += 1
        const outcome = await serveOwn([whole.subarray(0, at), whole.subarray(at)])
        assert.deepEqual(outcome, expected, `${name}, cut at ${at} of ${JSON.stringify(bytes)}`)
      }
      const byBytes = await serveOwn([...whole].map((byte) => Buffer.from([byte])))
      assert.deepEqual(byBytes, expected, `${name}, byte by byte`)
    }
    assert.ok(cuts > 10_000, `${cuts} cuts`)
  },
)
