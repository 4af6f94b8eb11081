// The clock of everything that supervises processes: it never jumps, and stands still while the machine
// is suspended, so that nobody is taken for dead who only slept with the rest.
import type { Clock } from '@reverse-proxy/shared/clock'

export const monotonicClock: Clock = { nowMs: () => performance.now() }
