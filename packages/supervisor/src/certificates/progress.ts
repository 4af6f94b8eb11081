// How far an order has come: for the terminal and for systemd's status line.

export type OrderStep =
  /** Another process holds the cache directory. */
  'waiting' | 'account' | 'order' | 'challenge' | 'validating' | 'finalizing' | 'downloading' | 'issued'

export interface OrderProgress {
  readonly listenerId: string
  readonly step: OrderStep
  readonly names: readonly string[]
  readonly detail?: string
}
