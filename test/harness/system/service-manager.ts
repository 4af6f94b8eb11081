// systemd's part of a service, as far as a test needs it: a socket that takes notifications, and
// listening sockets that outlive the program they are handed to.
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { temporaryDirectory } from '../directory.ts'
import type { Output } from '../output.ts'
import { Program } from '../program.ts'

/** Datagrams are beyond node:net. Prints each assignment of a message as a line, and `--` after a message. */
const RECEIVER = `
  use Socket; $| = 1;
  socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die; print "bound\\n";
  while (defined recv($s, my $message, 4096, 0)) { print "$message\\n--\\n" }
`

export interface NotifySocket {
  readonly path: string
  /** One assignment (`READY=1`) a line. */
  readonly received: Output
}

/** A NOTIFY_SOCKET; resolves when it is bound. */
export async function openNotifySocket(t: TestContext): Promise<NotifySocket> {
  const path = join(temporaryDirectory(t), 'notify')
  const receiver = new Program(t, 'perl', ['-e', RECEIVER, path])
  await receiver.stdout.waitForLine(/^bound$/)
  return { path, received: receiver.stdout }
}

/** Hands the sockets on, and starts the command again whenever it ends, as Restart=always does. */
const RESTARTING = `
  trap 'kill "$pid"; wait "$pid"; exit 0' TERM
  while :; do
    (LISTEN_PID=$BASHPID exec "$@") & pid=$!
    wait "$pid"; echo "service ended: $?"
  done
`

/** `systemd-socket-activate` over `command`: it begins with the first connection, and begins again when it ends. */
export function activateSockets(
  t: TestContext,
  addresses: readonly string[],
  command: readonly string[],
): Program {
  const listen = addresses.flatMap((address) => ['--listen', address])
  const service = ['bash', '-c', RESTARTING, 'service', ...command]
  return new Program(t, 'systemd-socket-activate', [...listen, ...service])
}
