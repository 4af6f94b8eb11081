// The Date of a response whose upstream has given none (RFC 9110 6.6.1), made once a second.

const SECOND_MS = 1_000

let text = ''
let second = -1

export function currentHttpDate(): string {
  const nowMs = Date.now()
  const nowSecond = Math.floor(nowMs / SECOND_MS)
  if (nowSecond !== second) {
    second = nowSecond
    text = new Date(nowMs).toUTCString()
  }
  return text
}
