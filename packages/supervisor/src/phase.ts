// The phases of the supervisor's life, and which may follow which.

export type Phase =
  /** Certificates are being loaded; workers boot and bind every port. Nothing is served. */
  | 'booting'
  /** Every worker is bound and answers challenges only; certificates are being ordered. */
  | 'ordering'
  /** Every worker has its certificates and is being told to serve. */
  | 'opening'
  /** Traffic is served; READY has been said. */
  | 'serving'
  /** No new connections; workers finish what is in flight, background work ends. */
  | 'stopping'
  /** No worker, socket, lock or timer is left. */
  | 'stopped'

const NEXT: Record<Phase, readonly Phase[]> = {
  booting: ['ordering', 'opening', 'stopping'],
  ordering: ['opening', 'stopping'],
  opening: ['serving', 'stopping'],
  serving: ['stopping'],
  stopping: ['stopped'],
  stopped: [],
}

export function mayFollow(from: Phase, to: Phase): boolean {
  return NEXT[from].includes(to)
}
