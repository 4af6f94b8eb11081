// What `doctor` asks name servers: real packets to a server of the test's own.
import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { DnsProbe } from '../../src/cli/doctor/dns-probe.ts'

const NOERROR = 0
const SERVFAIL = 2
const NXDOMAIN = 3
const TYPE_A = 1

interface Question {
  readonly name: string
  readonly type: number
}

/** RFC 1035 4.1: answers every question with a code, and for A records of NOERROR with 203.0.113.5. */
async function startNameServer(t: TestContext, codeFor: (question: Question) => number) {
  const questions: Question[] = []
  let waiting = 0
  let mostWaiting = 0
  const socket = dgram.createSocket('udp4')
  socket.on('message', (message, { address, port }) => {
    const question = parseQuestion(message)
    questions.push(question)
    mostWaiting = Math.max(mostWaiting, ++waiting)
    setImmediate(() => {
      waiting--
      socket.send(answer(message, codeFor(question), question.type === TYPE_A), port, address)
    })
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  return { probe: new DnsProbe([`127.0.0.1:${socket.address().port}`]), questions, most: () => mostWaiting }
}

function parseQuestion(message: Buffer): Question {
  const labels: string[] = []
  let at = 12
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1) }
}

function answer(query: Buffer, code: number, hasAddress: boolean): Buffer {
  const end = query.indexOf(0, 12) + 5
  const header = Buffer.from(query.subarray(0, 12))
  header.writeUInt16BE(0x8180 | code, 2)
  const records = code === NOERROR && hasAddress ? 1 : 0
  header.writeUInt16BE(records, 6)
  header.writeUInt16BE(0, 8)
  header.writeUInt16BE(0, 10)
  // The name again, type A, class IN, 60 s, four bytes of address.
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 5])
  return Buffer.concat([header, query.subarray(12, end), records === 1 ? record : Buffer.alloc(0)])
}

test('an address, none, and a server that fails are told apart', async (t) => {
  const codes: Readonly<Record<string, number>> = { 'gone.test': NXDOMAIN, 'broken.test': SERVFAIL }
  const { probe } = await startNameServer(t, ({ name }) => codes[name] ?? NOERROR)
  assert.deepEqual(await probe.addressesOf('a.test'), { found: ['203.0.113.5'] })
  assert.deepEqual(await probe.addressesOf('gone.test'), { fault: 'ENOTFOUND' })
  assert.deepEqual(await probe.addressesOf('broken.test'), { fault: 'ESERVFAIL' })
  assert.deepEqual(await probe.caaOf('a.test'), { found: [] })
  assert.deepEqual(await probe.caaOf('gone.test'), { found: [] })
  assert.deepEqual(await probe.caaOf('broken.test'), { fault: 'ESERVFAIL' })
  assert.equal(await probe.receivesMail('a.test'), true)
  assert.equal(await probe.receivesMail('gone.test'), false)
})

test('three hundred names are asked for, a few at a time', async (t) => {
  const { probe, questions, most } = await startNameServer(t, () => NOERROR)
  const names = Array.from({ length: 300 }, (_, index) => `host-${index}.test`)
  const answers = await Promise.all(names.map(async (name) => await probe.addressesOf(name)))
  for (const one of answers) assert.deepEqual(one, { found: ['203.0.113.5'] })
  assert.ok(questions.length >= 600)
  assert.ok(most() <= 16, String(most()))
})

test('what is no address of a name server is refused', () => {
  assert.throws(() => new DnsProbe(['dns.example']))
})
