// stdout as the log needs it: a write waits for nobody, whether it is a pipe, a socket or a terminal. A
// thread that waits for a reader which never reads would keep its process from ending.

interface StreamHandle {
  setBlocking(blocking: boolean): void
}

/**
 * To be called at the start, and again whenever a worker has been forked or has ended: workers share this
 * stdout, and the runtime makes it one that waits when it starts a process with it, and when such a
 * process ends.
 */
export function keepStdoutFromWaiting(): void {
  // Whatever comes of what is written here directly: it is no reason to end.
  if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', ignore)
  // The runtime has no other way to it. A file has no handle, and needs none.
  const handle: unknown = Reflect.get(process.stdout, '_handle')
  if (isStreamHandle(handle)) handle.setBlocking(false)
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  return typeof handle === 'object' && handle !== null && 'setBlocking' in handle
}

function ignore(): void {}
