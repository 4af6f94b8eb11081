// From the name of a bucket to its id in the table. Pure.
import type { BucketId } from './bucket-table.ts'

/**
 * @param client as client-key.ts spells it: `203.0.113.5` or `2001:db8:0:1::/64`, each its own id
 * @param scope less than 2^31
 */
export function bucketIdOf(client: string, scope: number): BucketId {
  if (!client.includes(':')) return { high: 0, low: ipv4Bits(client), tag: scope * 2 }
  const [a = 0, b = 0, c = 0, d = 0] = client.split(':', 4).map((group) => Number.parseInt(group, 16))
  return { high: join(a, b), low: join(c, d), tag: scope * 2 + 1 }
}

function ipv4Bits(client: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = client.split('.').map(Number)
  return join(a * 256 + b, c * 256 + d)
}

function join(high: number, low: number): number {
  return ((high << 16) | low) >>> 0
}
