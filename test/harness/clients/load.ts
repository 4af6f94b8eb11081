// Many requests over one HTTP/2 session, each with a path of its own.
import type { TestContext } from 'node:test'
import { connect2, requestOn, type RequestOptions } from './request.ts'

const AT_A_TIME = 50

/** Sends `count` requests and resolves with the number that were answered with `expected`. */
export async function sendMany(
  t: TestContext,
  target: RequestOptions,
  count: number,
  pathOf: (index: number) => string,
  expected = 200,
): Promise<number> {
  const session = connect2(target)
  t.after(() => session.destroy())
  let next = 0
  let answered = 0
  const client = async (): Promise<void> => {
    while (next < count) {
      const { status } = await requestOn(session, { ...target, path: pathOf(next++) })
      if (status === expected) answered++
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
  session.close()
  return answered
}
