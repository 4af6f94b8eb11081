// Loaded into a program under test by --import: says on stderr when a TCP port is about to be bound.
import net from 'node:net'

// Both ways there are: a server's own, and that of node:cluster for a socket that workers share.
witness(net.Server.prototype, 'listen')
witness(net, '_createServerHandle')

function witness(owner: object, name: string): void {
  const original: unknown = Reflect.get(owner, name)
  if (typeof original !== 'function') throw new TypeError(`node:net has no ${name} any more`)
  Reflect.set(owner, name, function witnessed(this: unknown, ...args: unknown[]): unknown {
    process.stderr.write('witness: listened\n')
    return Reflect.apply(original, this, args)
  })
}
