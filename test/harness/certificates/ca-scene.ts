// A real CA behind the proxy that breaks it, one supervisor and its one worker; and a listener's life there,
// each with a cache directory and an account of its own.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { AcmeFaultProxy } from '../acme/fault-proxy.ts'
import { startAcmeFaultProxy } from '../acme/fault-proxy.ts'
import { temporaryDirectory } from '../directory.ts'
import type { Pebble } from '../acme/pebble.ts'
import { startPebble } from '../acme/pebble.ts'
import { AcmeManager } from '../../../packages/supervisor/src/certificates/acme/manager.ts'
import { parseRecord } from '@reverse-proxy/shared/json'
import { answerTlsAlpn, FakeHost, settingsFor } from './fake-host.ts'

const NEVER = new AbortController().signal

export class CaScene {
  readonly pebble: Pebble
  readonly ca: AcmeFaultProxy
  readonly host: FakeHost

  private constructor(pebble: Pebble, ca: AcmeFaultProxy, host: FakeHost) {
    this.pebble = pebble
    this.ca = ca
    this.host = host
  }

  static async start(t: TestContext): Promise<CaScene> {
    // What has been proved need not be proved again: this is about orders.
    const pebble = await startPebble(t, { authorizationReusePercent: 100 })
    const ca = await startAcmeFaultProxy(t, pebble)
    const host = new FakeHost()
    await answerTlsAlpn(t, host, pebble.tlsPort)
    return new CaScene(pebble, ca, host)
  }

  /** A new listener, while all is well and the time is right. */
  enter(t: TestContext, changes: Partial<AcmeSettings> = {}): ListenerLife {
    this.ca.removeFaults()
    this.host.clockOffsetMs = 0
    this.host.logged.length = 0
    this.host.published.length = 0
    return new ListenerLife(t, this, settingsFor(this.ca, join(temporaryDirectory(t), 'cache'), changes))
  }
}

export class ListenerLife {
  readonly settings: AcmeSettings
  readonly #t: TestContext
  readonly #scene: CaScene
  #orders: number

  constructor(t: TestContext, scene: CaScene, settings: AcmeSettings) {
    this.#t = t
    this.#scene = scene
    this.settings = settings
    this.#orders = scene.ca.requestsOf('newOrder').length
  }

  /** How many orders were placed, or tried, since the last time this was asked. */
  newOrders(): number {
    const before = this.#orders
    this.#orders = this.#scene.ca.requestsOf('newOrder').length
    return this.#orders - before
  }

  /** As after a start, or a restart: what is cached has been read. */
  async load(changes: Partial<AcmeSettings> = {}): Promise<AcmeManager> {
    const manager = new AcmeManager('listener', { ...this.settings, ...changes }, this.#scene.host)
    this.#t.after(async () => await manager.close())
    await manager.load()
    return manager
  }

  /** One attempt, if it is due; rejects as it fails. */
  async attempt(changes: Partial<AcmeSettings> = {}): Promise<AcmeManager> {
    const manager = await this.load(changes)
    await manager.acquire(NEVER)
    return manager
  }

  /** A file of the cache directory; empty if it is not there. */
  async record(name: 'last-failure.json' | 'renewal.json'): Promise<Record<string, unknown>> {
    const text = await readFile(join(this.settings.cacheDir, name), 'utf8').catch(() => '')
    return parseRecord(text) ?? {}
  }
}
