// A CA, cache directories, and the processes that share them: what the tests of the certificate managers need.
import { cpSync } from 'node:fs'
import http from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import { temporaryDirectory } from '../directory.ts'
import type { Pebble } from '../acme/pebble.ts'
import { startPebble } from '../acme/pebble.ts'
import type { Trap } from './fs-trap.ts'
import { ManagerProcess } from './manager-process.ts'
import type { ManagerOutcome, ManagerTask } from './messages.ts'

/** Calls are counted, and nothing else happens. */
const NO_TRAP: Trap = { at: 0, action: { kind: 'kill' } }

export class CertificateScene {
  readonly pebble: Pebble
  readonly #t: TestContext
  readonly #directory: string
  readonly #board: ChallengeBoard
  #directories = 0

  private constructor(t: TestContext, pebble: Pebble, board: ChallengeBoard) {
    this.#t = t
    this.pebble = pebble
    this.#directory = temporaryDirectory(t)
    this.#board = board
  }

  static async create(t: TestContext): Promise<CertificateScene> {
    // Names that an account has proved stay proved: renewals are about files here, not about challenges.
    const pebble = await startPebble(t, { authorizationReusePercent: 100 })
    return new CertificateScene(t, pebble, await ChallengeBoard.start(t, pebble.httpPort))
  }

  /** A cache directory that does not exist yet; with `original`, a copy of that one. */
  cacheDir(original?: string): string {
    const path = join(this.#directory, `cache-${++this.#directories}`)
    if (original !== undefined) cpSync(original, path, { recursive: true, verbatimSymlinks: true })
    return path
  }

  /** How many cache directories there have been. */
  get directories(): number {
    return this.#directories
  }

  process(): ManagerProcess {
    let armed: readonly ArmedChallenge[] = []
    return new ManagerProcess(this.#t, (challenges) => {
      this.#board.replace(armed, challenges)
      armed = challenges
    })
  }

  /** Has `process` do `task` in `cacheDir`; undefined if the trap has killed it. */
  async run(
    process: ManagerProcess,
    task: ManagerTask,
    cacheDir: string,
    trap = NO_TRAP,
  ): Promise<ManagerOutcome | undefined> {
    return await process.run({ task, settings: this.#settings(cacheDir), trap })
  }

  #settings(cacheDir: string): AcmeSettings {
    const { directoryUrl, caFile } = this.pebble
    return {
      mode: 'acme',
      domains: ['one.example', 'two.example'],
      cacheDir,
      directoryUrl,
      contact: 'mailto:admin@one.example',
      challenge: 'http-01',
      caFile,
      eab: undefined,
      keyType: 'ecdsa-p256',
      profile: undefined,
      preferredChain: undefined,
    }
  }
}

/** Answers http-01 for every process of a test. */
class ChallengeBoard {
  readonly #answers = new Map<string, string>()

  static async start(t: TestContext, port: number): Promise<ChallengeBoard> {
    const board = new ChallengeBoard()
    const server = http.createServer(({ url = '' }, response) => {
      const answer = board.#answers.get(url)
      response.writeHead(answer === undefined ? 404 : 200).end(answer)
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    return board
  }

  replace(before: readonly ArmedChallenge[], after: readonly ArmedChallenge[]): void {
    for (const one of before) if (one.type === 'http-01') this.#answers.delete(pathOf(one.token))
    for (const one of after)
      if (one.type === 'http-01') this.#answers.set(pathOf(one.token), one.keyAuthorization)
  }
}

function pathOf(token: string): string {
  return `/.well-known/acme-challenge/${token}`
}
