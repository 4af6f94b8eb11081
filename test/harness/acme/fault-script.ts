// Which fault strikes which request. Faults are tried in the order they were injected; the first that
// wants the request gets it, and one that has struck often enough is passed over.
import type { Behaviour } from './exchange.ts'
import type { AcmeRequest, RequestKind } from './request.ts'

export interface Fault {
  readonly on: RequestKind | readonly RequestKind[] | 'everything'
  readonly answer: Behaviour
  /** How many requests it strikes; without end if not given. */
  readonly times?: number
  /** Of the requests it could strike, 0 to 1: evenly spread from the first on, never by chance. */
  readonly share?: number
  /** Leaves alone those for which this is false. */
  readonly when?: (request: AcmeRequest) => boolean
}

export class InjectedFault {
  readonly #fault: Fault
  #hits = 0
  #offered = 0
  #removed = false

  constructor(fault: Fault) {
    this.#fault = fault
  }

  /** How often it has struck. */
  get hits(): number {
    return this.#hits
  }

  remove(): void {
    this.#removed = true
  }

  /** The behaviour for this request, or undefined if it is not meant. */
  take(request: AcmeRequest): Behaviour | undefined {
    const { on, answer, times = Infinity, share = 1, when = () => true } = this.#fault
    const isMeant = [on].flat().some((kind) => kind === 'everything' || kind === request.kind)
    if (this.#removed || this.#hits >= times || !isMeant || !when(request)) return undefined
    this.#offered++
    if (Math.ceil(this.#offered * share) === Math.ceil((this.#offered - 1) * share)) return undefined
    this.#hits++
    return answer
  }
}

export class FaultScript {
  readonly #faults: InjectedFault[] = []

  inject(fault: Fault): InjectedFault {
    const injected = new InjectedFault(fault)
    this.#faults.push(injected)
    return injected
  }

  removeAll(): void {
    this.#faults.length = 0
  }

  behaviourFor(request: AcmeRequest): Behaviour | undefined {
    for (const fault of this.#faults) {
      const behaviour = fault.take(request)
      if (behaviour !== undefined) return behaviour
    }
    return undefined
  }
}
