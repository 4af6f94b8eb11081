// A process with one certificate manager of the built program in it, doing what the test says over IPC.
// The test answers challenges in place of the workers.
// First, or the trap would not see the calls.
import { countCalls, releaseTrap, setTrap } from './fs-trap.ts'
import { once } from 'node:events'
import type { LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import { AcmeManager } from '../../../packages/supervisor/dist/certificates/acme/manager.js'
import type { CertificateServices } from '../../../packages/supervisor/dist/certificates/services.js'
import { openFileStorage } from '../../../packages/supervisor/dist/certificates/storage/file-storage.js'
import { JOBS } from '../../../packages/supervisor/dist/certificates/crypto/pool-worker.js'
import type { CertificateJobs } from '../../../packages/supervisor/dist/certificates/crypto/jobs.js'
import { withTimers } from '../../../packages/supervisor/dist/os/waitable-clock.js'
import type { FromManager, ManagerOutcome, ManagerRun, ToManager } from './messages.ts'

const never = new AbortController().signal
// Without threads: there is no traffic here that the work could hold up.
const jobs: CertificateJobs = {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the table's types say what belongs together
  run: async (name, input) => (await JOBS[name](input as never)) as never,
  close: async () => {},
}
// The modes that files get must be those that were asked for.
process.umask(0)

/** Longer than anybody is waited for who gives no sign of life. */
const LAPSE_MS = 100_000
const realNow = performance.now.bind(performance)
let lapsedMs = 0
performance.now = () => realNow() + lapsedMs

function tell(message: FromManager): void {
  process.send?.(message)
}

async function arm(challenges: Parameters<CertificateServices['arm']>[1]): Promise<void> {
  tell({ type: 'arm', challenges })
  for (;;) {
    const [message]: ToManager[] = await once(process, 'message')
    if (message?.type === 'armed') return
  }
}

/** `detail` is whom it waits for. One that lives is never taken for dead: its name is another. */
function isTakenForDead(detail: string, pids: ManagerRun['takenForDead']): boolean {
  const [, pid] = /^for process (\d+)/u.exec(detail) ?? []
  return pids !== undefined && (pid === undefined || pids.includes(Number(pid)))
}

async function perform({ task, settings, trap, takenForDead }: ManagerRun): Promise<ManagerOutcome> {
  const published: string[] = []
  const logged: string[] = []
  let callsBeforeOrder: number | undefined
  let callsBeforeDownload: number | undefined
  const note =
    (level: string) =>
    (event: LogEvent, fields: LogFields = {}): void => {
      logged.push(`${level} ${event} ${fields['error'] ?? ''}`.trimEnd())
    }
  const manager = new AcmeManager('listener', settings, {
    jobs,
    counts: { add: () => {} },
    clock: withTimers({ nowMs: () => Date.now() }),
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    publish: async (_id, certificates) => void published.push(...certificates.map(({ serial }) => serial)),
    openStorage: openFileStorage,
    arm: async (_id, challenges) => await arm(challenges),
    progress: ({ step, detail }) => {
      if (step === 'order') callsBeforeOrder = countCalls()
      if (step === 'downloading') callsBeforeDownload = countCalls()
      // Its own timer (not its clock) jumps ahead, before it looks again.
      if (step === 'waiting' && isTakenForDead(detail ?? '', takenForDead)) lapsedMs += LAPSE_MS
      tell({ type: 'progress', step, detail })
    },
  })
  let error: string | undefined
  let needsOrder = false
  let isDue = false
  try {
    await manager.load()
    needsOrder = manager.needsOrder()
    isDue = (manager.status().nextAttemptMs ?? Infinity) <= Date.now()
    setTrap(settings.cacheDir, trap)
    if (task === 'acquire' && needsOrder) await manager.acquire(never)
    if (task === 'renew') {
      manager.start()
      await manager.renew()
    }
  } catch (cause) {
    error = cause instanceof Error ? cause.message : String(cause)
  }
  await manager.close()
  const [served] = manager.current()
  const calls = releaseTrap()
  return {
    published,
    served,
    needsOrder,
    isDue,
    error,
    logged,
    calls,
    callsBeforeOrder,
    callsBeforeDownload,
  }
}

process.on('message', (message: ToManager) => {
  if (message.type !== 'run') return
  void perform(message.run).then((outcome) => tell({ type: 'outcome', outcome }))
})
process.on('disconnect', () => process.exit())
tell({ type: 'booted' })
