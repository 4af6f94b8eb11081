// The life of a worker: booting -> serving -> draining -> stopped. Applies the updates of the supervisor one after the
// other and acknowledges each.
import { randomInt } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { proxyActionsOf } from '@reverse-proxy/shared/config/sites'
import { codeOf, messageOf, stackOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_OK, EXIT_WORKER_BOOT } from '@reverse-proxy/shared/exit-codes'
import type {
  BootFailure,
  SupervisorToWorker,
  WorkerConfig,
  WorkerStart,
  WorkerToSupervisor,
  WorkerUpdate,
} from '@reverse-proxy/shared/ipc/messages'
import { openLogs, type Logs } from '@reverse-proxy/shared/log/logs'
import { rateLimitsOf } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { createAccessLog } from './observability/access-log.ts'
import { BindError } from './listen/bound-sockets.ts'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { ConnectionBudget } from './upstream/connection-budget.ts'
import { UpstreamTrust, type TrustSettings } from './upstream/connections/trust.ts'
import type { UpstreamDeps } from './upstream/upstream.ts'
import { ConnectionLimits } from './connection/connection-limits.ts'
import { Bans } from './access/bans.ts'
import { PasswordChecks } from './access/password-checks.ts'
import { RateLimiter } from './ratelimit/limiter.ts'
import { systemTimers } from './node/timers.ts'
import { TrafficListener } from './listen/listener.ts'
import { TrafficMetrics } from './observability/metrics.ts'
import type { Welcome } from './welcome/server.ts'
import { startWelcome } from './welcome/server.ts'

/** A shutdown allows 2 s for the log; the supervisor needs the other half. */
const FLUSH_TIMEOUT_MS = 800

/** A worker that cannot start gives the clients it has accepted so long; the supervisor waits for its reason. */
const BOOT_FAILED_DRAIN_MS = 5_000

/** Clients must not be able to predict the hash of their addresses. */
const SEEDS = 2 ** 32

const EVENT_LOOP_SAMPLE_MS = 20
/** The process, or the machine, has reached its limit on open files. */
const OUT_OF_FILES: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE'])

export interface WorkerProcess {
  send(message: WorkerToSupervisor, then?: () => void): void
  exit(code: typeof EXIT_OK | typeof EXIT_WORKER_BOOT): void
}

type Phase = 'booting' | 'serving' | 'draining' | 'stopped'

export class WorkerLifecycle {
  readonly #process: WorkerProcess
  #phase: Phase = 'booting'
  #config: WorkerConfig | undefined
  #logs: Logs | undefined
  #connections: ConnectionLimits | undefined
  #rateLimiter: RateLimiter | undefined
  readonly #passwords: PasswordChecks
  readonly #bans: Bans
  readonly #metrics = new TrafficMetrics()
  /** As last measured. */
  #rssBytes = 0
  #isOutOfFiles = false
  readonly #eventLoop = monitorEventLoopDelay({ resolution: EVENT_LOOP_SAMPLE_MS })
  #welcome: Welcome | undefined
  readonly #trust = new UpstreamTrust()
  readonly #budget = new ConnectionBudget()
  readonly #upstreams: UpstreamDeps = {
    trust: this.#trust,
    names: new NameResolver(),
    budget: this.#budget,
    timers: systemTimers,
  }
  readonly #listeners = new Map<string, TrafficListener>()
  /** Messages are applied in order: each waits for the previous one, but not for the end of a drain. */
  #applied: Promise<void> = Promise.resolve()

  constructor(workerProcess: WorkerProcess) {
    this.#process = workerProcess
    this.#passwords = new PasswordChecks((check) => workerProcess.send(check), systemTimers)
    this.#bans = new Bans({
      send: (report) => workerProcess.send(report),
      timers: systemTimers,
      seed: randomInt(SEEDS),
    })
    this.#eventLoop.enable()
  }

  /** Reports the load, and the counts since the last heartbeat. */
  heartbeat(then?: () => void): void {
    this.#measure()
    const load = {
      connections: this.#connections?.open ?? 0,
      requests: this.#metrics.requests,
      rssBytes: this.#rssBytes,
      eventLoopLagMs: this.#eventLoop.percentile(99) / 1e6 - EVENT_LOOP_SAMPLE_MS,
    }
    this.#eventLoop.reset()
    this.#process.send({ type: 'heartbeat', load, counts: this.#metrics.take() }, then)
  }

  /** The runtime opens a file to measure the memory, so this also shows whether a descriptor is free. */
  #measure(): void {
    let error: unknown
    try {
      this.#rssBytes = process.memoryUsage.rss()
    } catch (cause) {
      error = cause
    }
    const code = codeOf(error) ?? ''
    const isOutOfFiles = OUT_OF_FILES.has(code)
    if (isOutOfFiles === this.#isOutOfFiles) return
    this.#isOutOfFiles = isOutOfFiles
    if (this.#connections !== undefined) this.#connections.isOutOfFiles = isOutOfFiles
    const connections = this.#connections?.open
    if (isOutOfFiles)
      this.#logs?.error('OPEN_FILES', {
        error: `${code}: no new connections until descriptors are free`,
        connections,
      })
    else this.#logs?.info('OPEN_FILES', { state: 'descriptors are free again', connections })
  }

  onMessage(message: SupervisorToWorker): void {
    switch (message.type) {
      case 'start':
        this.#enqueue(async () => await this.#start(message.start))
        break
      case 'update':
        this.#enqueue(() => this.#acknowledge(message.seq, message.update))
        break
      case 'drain':
        this.#enqueue(() => this.#drain(message.timeoutMs))
        break
      case 'lease-grant':
        // Not enqueued: requests wait for it.
        this.#rateLimiter?.onGrant(message)
        break
      case 'password-answer':
        this.#passwords.onVerdict(message.seq, message.verdict)
        break
      default:
        assertNever(message)
    }
  }

  /**
   * The supervisor died: finish the requests in flight and exit. Does not wait for earlier messages, because binding a
   * port waits for a reply of the supervisor that never comes.
   */
  onSupervisorGone(): void {
    this.#drain(this.#config?.shutdownTimeoutMs ?? 0)
  }

  #enqueue(apply: () => Promise<void> | void): void {
    this.#applied = this.#applied.then(apply)
  }

  async #start(start: WorkerStart): Promise<void> {
    try {
      this.#config = start.config
      this.#logs = openLogs(start.config.logging)
      const logs = this.#logs
      const needsWelcome = start.config.listeners.some(({ sites }) =>
        [...proxyActionsOf(sites)].some(({ upstream }) => upstream.kind === 'welcome'),
      )
      if (needsWelcome) this.#welcome = await startWelcome(start.workerNumber)
      const connections = (this.#connections = new ConnectionLimits(start.config.limits))
      const rateLimiter = (this.#rateLimiter = new RateLimiter({
        limits: rateLimitsOf(start.config),
        workers: start.workers,
        timers: systemTimers,
        send: (request) => this.#process.send(request),
        onAuthorityTimeout: () => logs.warn('RATE_LIMIT_LOCAL', { worker: start.workerNumber }),
      }))
      const accessLog = createAccessLog(logs, this.#metrics, start.workerNumber)
      this.#configureUpstreams(start.config)
      this.#bans.configure(start.config)
      this.#bans.apply(start.bans)
      for (const config of start.config.listeners) {
        const listener = new TrafficListener({
          config,
          workerConfig: start.config,
          certificates:
            start.certificates.find(({ listenerId }) => listenerId === config.id)?.certificates ?? [],
          challenges: start.challenges.find(({ listenerId }) => listenerId === config.id)?.challenges ?? [],
          ticketKeys: start.ticketKeys,
          inheritedSockets: start.inheritedSockets,
          connections,
          rateLimiter,
          passwords: this.#passwords,
          bans: this.#bans,
          log: logs,
          metrics: this.#metrics,
          accessLog,
          welcome: this.#welcome,
          upstreams: this.#upstreams,
        })
        this.#listeners.set(config.id, listener)
        await listener.bind()
        if (this.#phase !== 'booting') return
      }
      this.#phase = 'serving'
      this.#sendServed()
      this.#process.send({ type: 'ready' })
    } catch (error) {
      if (this.#phase !== 'booting') return
      this.#phase = 'stopped'
      await this.#endAccepted()
      this.#process.send({ type: 'boot-failed', failure: describe(error) }, () =>
        this.#process.exit(EXIT_WORKER_BOOT),
      )
    }
  }

  /** Finishes what the ports that were bound before the failure have accepted: those clients are not to be reset. */
  async #endAccepted(): Promise<void> {
    const timeoutMs = this.#connections?.open === 0 ? 0 : BOOT_FAILED_DRAIN_MS
    await Promise.all([...this.#listeners.values()].map(async (listener) => await listener.drain(timeoutMs)))
  }

  #configureUpstreams(config: WorkerConfig): void {
    this.#trust.configure(trustSettingsOf(config))
    this.#budget.configure(config.limits.upstreamConnectionsPerWorker ?? Infinity)
  }

  #acknowledge(seq: number, update: WorkerUpdate): void {
    let error: string | undefined
    try {
      // A client whose ClientHello arrives during the drain is still served, with the new state.
      if (this.#phase === 'serving' || this.#phase === 'draining') this.#apply(update)
    } catch (cause) {
      error = explain(cause)
    }
    this.#process.send({ type: 'ack', seq, error })
  }

  #apply(update: WorkerUpdate): void {
    switch (update.type) {
      case 'configure':
        this.#config = update.config
        this.#connections?.configure(update.config.limits)
        this.#rateLimiter?.configure(rateLimitsOf(update.config))
        this.#passwords.forget()
        this.#bans.configure(update.config)
        this.#configureUpstreams(update.config)
        for (const config of update.config.listeners)
          this.#listeners.get(config.id)?.configure(config, update.config)
        break
      case 'certificates':
        this.#listeners.get(update.listener.listenerId)?.setCertificates(update.listener.certificates)
        this.#sendServed()
        break
      case 'challenges':
        this.#listeners.get(update.listener.listenerId)?.setChallenges(update.listener.challenges)
        break
      case 'ticket-keys':
        for (const listener of this.#listeners.values()) listener.setTicketKeys(update.ticketKeys)
        break
      case 'bans':
        this.#bans.apply(update.changes)
        break
      case 'reopen-logs':
        this.#logs?.reopen()
        break
      default:
        assertNever(update)
    }
  }

  #sendServed(): void {
    const listeners = [...this.#listeners.values()].map(({ servedSerials }) => servedSerials)
    this.#process.send({ type: 'certificates-served', listeners })
  }

  /** A second call while draining can shorten the time. */
  #drain(timeoutMs: number): void {
    if (this.#phase === 'stopped') return
    // Each listener closes its sockets at once and then waits for its connections.
    const drained = [...this.#listeners.values()].map(async (listener) => await listener.drain(timeoutMs))
    if (this.#phase === 'draining') return
    this.#phase = 'draining'
    this.#process.send({ type: 'stopped-accepting' })
    void this.#stopAfter(drained)
  }

  async #stopAfter(drained: readonly Promise<void>[]): Promise<void> {
    await Promise.all(drained)
    this.#rateLimiter?.close()
    this.#bans.flush()
    this.#welcome?.close()
    this.#phase = 'stopped'
    const flushed = this.#logs?.flush() ?? Promise.resolve()
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, FLUSH_TIMEOUT_MS))])
    this.#logs?.abandon()
    this.heartbeat(() => this.#process.exit(EXIT_OK))
  }
}

function trustSettingsOf({ upstreamRoots, listeners }: WorkerConfig): TrustSettings {
  const caPems = new Set<string>()
  for (const { sites } of listeners) {
    for (const { upstream } of proxyActionsOf(sites)) {
      if (upstream.kind === 'tcp' && upstream.caPem !== undefined) caPems.add(upstream.caPem)
    }
  }
  return { systemRoots: upstreamRoots, caPems }
}

function describe(error: unknown): BootFailure {
  if (error instanceof BindError) {
    const { address, port, code } = error
    return { reason: 'bind', address, port, code }
  }
  return { reason: 'internal', message: explain(error) }
}

/** One line with the cause; an unexpected error with its stack. */
function explain(error: unknown): string {
  if (!(error instanceof ProxyError)) return stackOf(error)
  return error.cause === undefined ? error.message : `${error.message}: ${messageOf(error.cause)}`
}
