// A TCP forwarder that holds what comes until it is told to let it pass: while an ACME server waits
// here, its challenge is armed, and a test has all the time it wants to look.
import { once } from 'node:events'
import net from 'node:net'
import type { TestContext } from 'node:test'
import { waitFor } from './wait.ts'

export interface GateOptions {
  /** Where it listens, on each of `hosts`; goes on to the same host. */
  readonly port: number
  readonly targetPort: number
  readonly hosts?: readonly string[]
}

export class Gate {
  readonly #held = new Set<() => void>()
  #isOpen = false
  #passed = 0

  static async start(
    t: TestContext,
    { port, targetPort, hosts = ['127.0.0.1'] }: GateOptions,
  ): Promise<Gate> {
    const gate = new Gate()
    for (const host of hosts) {
      const server = net.createServer((socket) => gate.#accept(t, socket, host, targetPort))
      server.listen(port, host)
      await once(server, 'listening')
      t.after(() => server.close())
    }
    return gate
  }

  /** Resolves when somebody waits. */
  async waitForArrival(): Promise<void> {
    await waitFor('somebody to be at the gate', () => this.#held.size > 0, 30_000)
  }

  /** Lets pass who waits and who comes later. */
  open(): void {
    this.#isOpen = true
    for (const pass of this.#held) pass()
    this.#held.clear()
  }

  /** Connections let through so far. */
  get passed(): number {
    return this.#passed
  }

  #accept(t: TestContext, socket: net.Socket, host: string, targetPort: number): void {
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    const pass = () => {
      this.#passed++
      const onward = net.connect(targetPort, host)
      onward.on('error', () => socket.destroy())
      socket.on('error', () => onward.destroy())
      socket.pipe(onward).pipe(socket)
    }
    if (this.#isOpen) pass()
    else this.#held.add(pass)
  }
}
