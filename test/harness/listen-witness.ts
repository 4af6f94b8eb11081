// Loaded into a program under test by --import: says on stderr when it is about to listen.
import { Server } from 'node:net'

// oxlint-disable-next-line typescript/unbound-method -- called below with the server it is a method of
const listen = Server.prototype.listen
Server.prototype.listen = function witnessed(this: Server, ...args: never): Server {
  process.stderr.write('witness: listened\n')
  return Reflect.apply(listen, this, args)
}
