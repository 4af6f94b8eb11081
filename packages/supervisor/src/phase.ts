// The phases of the supervisor's life, and which may follow which.

export type Phase =
  /** Certificates are being loaded; workers boot and bind every port. Nothing is served. */
  | 'booting'
  /** Every worker is bound; no listener has a certificate yet; certificates are being ordered. */
  | 'ordering'
  /** At least one listener serves; the others only respond to challenges. */
  | 'serving'
  /** No new connections; workers finish what is in flight, background work ends. */
  | 'stopping'
  /** No worker, socket, lock or timer is left. */
  | 'stopped'

const NEXT: Record<Phase, readonly Phase[]> = {
  booting: ['ordering', 'serving', 'stopping'],
  ordering: ['serving', 'stopping'],
  serving: ['stopping'],
  stopping: ['stopped'],
  stopped: [],
}

export function mayFollow(from: Phase, to: Phase): boolean {
  return NEXT[from].includes(to)
}
