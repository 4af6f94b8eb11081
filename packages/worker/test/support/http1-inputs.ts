// What HTTP/1 clients have sent to break proxies, and what they may send: for tests that need all of it.
import { Chance } from '../fuzz/chance.ts'
import { frame, plainDraft, render, type Http1Draft } from '../fuzz/http1-draft.ts'
import { ANSWERED, REFUSED } from '../fuzz/http1-refused.ts'
import { SERVED } from '../fuzz/http1-served.ts'

export interface NamedInput {
  readonly name: string
  readonly bytes: string
}

const HEAD = 'POST /x HTTP/1.1\r\nHost: a.example\r\n'
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'
const GET = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'

/** Of the tests about smuggling, advisories, pipelining, upgrades, expectations and empty bodies. */
const LITERAL: Readonly<Record<string, string>> = {
  'Content-Length beside Transfer-Encoding': `${HEAD}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a folded line': `${HEAD}X: a\r\n Content-Length: 5\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a bare CR in a value': `${HEAD}X: a\rContent-Length: 5\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a bare LF as line end': `${HEAD}X: a\nContent-Length: 5\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a space before the colon': `${HEAD}Content-Length : 5\r\n\r\nhello`,
  'CR LF CR X': `${HEAD}\rX: y\r\n\r\n${SMUGGLED}`,
  'a chunk longer than it says': `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n${SMUGGLED}`,
  'a CR alone after a chunk': `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\r\n${SMUGGLED}`,
  'chunk extensions with white space': `${HEAD}Transfer-Encoding: chunked\r\n\r\n2 ; a = "b;\\"" ;c\r\nhi\r\n0;x\r\n\r\n${GET}`,
  'white space behind a chunk size': `${HEAD}Transfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n`,
  'a coding with a tab behind it': `${HEAD}Transfer-Encoding: chunked\t\r\n\r\n2\r\nhi\r\n0\r\n\r\n${GET}`,
  trailers: `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nHost: b.example\r\nX: y\r\n\r\n${GET}`,
  'a trailer that frames': `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTransfer-Encoding: x\r\n\r\n`,
  'a body that looks like a request': `${HEAD}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}${GET}`,
  'an expectation': `${HEAD}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi${GET}`,
  'an expectation of nothing': `GET / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n`,
  'an unknown expectation': `${HEAD}Expect: x\r\nContent-Length: 2\r\n\r\nhi`,
  'HTTP/1.0': `GET / HTTP/1.0\r\nHost: a.example\r\n\r\n${SMUGGLED}`,
  'HTTP/1.0, kept alive': `GET / HTTP/1.0\r\nHost: a.example\r\nConnection: Keep-Alive\r\n\r\n${GET}`,
  'a higher minor version': `GET / HTTP/1.7\r\nHost: a.example\r\n\r\n${GET}`,
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  CONNECT: `CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n${SMUGGLED}`,
  'an upgrade to something else': `GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n${SMUGGLED}`,
  'a pipeline': `${GET.repeat(3)}${HEAD}Content-Length: 2\r\n\r\nhi${GET}nonsense\r\n\r\n`,
  'empty lines': `\r\n\r\n${GET}\r\n${GET}`,
  'a bare LF before a request': `\n${GET}`,
  'methods that nobody knows':
    'LIST / HTTP/1.1\r\nHost: a.example\r\n\r\nbaseline-control / HTTP/1.1\r\nHost: a.example\r\n\r\n',
  'names in any case': 'GET / HTTP/1.1\r\nhOsT: a.example\r\nX-MiXeD: y\r\n\r\n',
  'options in Connection':
    'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-Drop\r\nX-Drop: 1\r\nConnection: close\r\n\r\n',
  garbage: '\u0016\u0003\u0001\u0000\u00a5\u0001',
  'no Host': 'GET / HTTP/1.1\r\n\r\n',
}

/** Each kind of oddity that the fuzz knows, by itself, with a request behind it. */
function oddities(): NamedInput[] {
  const chance = new Chance(7)
  return [...SERVED, ...REFUSED, ...ANSWERED].map((mutation, id) => {
    for (;;) {
      const draft: Http1Draft = plainDraft(chance, id)
      if (chance.percent(50)) frame(draft, 'hello')
      if (mutation.apply(draft) === false) continue
      return { name: mutation.name, bytes: render(draft, [], mutation.fate).bytes + SMUGGLED }
    }
  })
}

export function http1Inputs(): NamedInput[] {
  return [...Object.entries(LITERAL).map(([name, bytes]) => ({ name, bytes })), ...oddities()]
}
