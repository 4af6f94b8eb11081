// Conversations over HTTP/1: requests one behind the other on one connection, most of them odd.
import type { Chance } from './chance.ts'
import { worst, type Fate, type Mutation } from './fate.ts'
import { frame, plainDraft, render, type Http1Draft, type Http1Request } from './http1-draft.ts'
import { ANSWERED, NOISE, REFUSED } from './http1-refused.ts'
import { SERVED } from './http1-served.ts'

const MAX_REQUESTS = 6
const PLAIN = 'plain'

/** The name of every kind of oddity there is. */
export const HTTP1_CLASSES: readonly string[] = [
  PLAIN,
  ...[...SERVED, ...REFUSED, ...ANSWERED, NOISE].map(({ name }) => name),
]

/** The last one always ends the connection. @param nextId called once for each request */
export function makeConversation(chance: Chance, nextId: () => number): Http1Request[] {
  const requests: Http1Request[] = []
  const length = 1 + chance.below(MAX_REQUESTS)
  while (requests.length < length) {
    const request = makeRequest(chance, nextId())
    requests.push(request)
    if (request.isCutShort) return requests
  }
  return [...requests, lastRequest(chance, nextId())]
}

function makeRequest(chance: Chance, id: number): Http1Request {
  const draft = plainDraft(chance, id)
  const classes: string[] = []
  let fate: Fate = 'served'
  for (const mutation of choose(chance)) {
    // A draft that has been begun to be changed in vain is no longer sure to mean anything: start anew.
    if (mutation.apply(draft) === false) return makeRequest(chance, id)
    classes.push(mutation.name)
    fate = worst(fate, mutation.fate)
  }
  return render(draft, classes.length === 0 ? [PLAIN] : classes, fate)
}

let refusals = 0

/** One after the other, so that none is left out. */
function nextRefused(): Mutation<Http1Draft> {
  refusals += 1
  return REFUSED[refusals % REFUSED.length] ?? NOISE
}

/** What is served may be combined; what is not comes last, and alone of its kind. */
function choose(chance: Chance): Mutation<Http1Draft>[] {
  const chosen = new Set<Mutation<Http1Draft>>()
  for (let i = chance.below(3); i > 0; i--) chosen.add(chance.pick(SERVED))
  const dice = chance.below(100)
  if (dice < 30) chosen.add(nextRefused())
  else if (dice < 35) chosen.add(chance.pick(ANSWERED))
  else if (dice < 41) return [NOISE]
  return [...chosen]
}

function lastRequest(chance: Chance, id: number): Http1Request {
  const draft = plainDraft(chance, id)
  draft.method = 'GET'
  draft.framing = 'none'
  frame(draft, '')
  draft.fields.push('Connection: close')
  draft.isLast = true
  return render(draft, [PLAIN], 'served')
}
