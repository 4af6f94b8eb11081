// Maps signals to intents.
import { closeSync, openSync } from 'node:fs'
import type { IntentQueue } from './intents.ts'

/** Listens until the returned function is called. */
export function listenForSignals(intents: IntentQueue): () => void {
  const startedOnTerminal = hasControllingTerminal()
  let interrupted = false

  const handlers: Partial<Record<NodeJS.Signals, () => void>> = {
    SIGTERM: () => intents.push({ type: 'stop', cut: false, reason: 'SIGTERM' }),
    SIGQUIT: () => intents.push({ type: 'stop', cut: true, reason: 'SIGQUIT' }),
    SIGINT: () => {
      intents.push({ type: 'stop', cut: interrupted, reason: 'SIGINT' })
      interrupted = true
    },
    SIGUSR1: () => intents.push({ type: 'reopen-logs' }),
    SIGUSR2: () => intents.push({ type: 'reopen-logs' }),
    SIGTTIN: () => intents.push({ type: 'resize', by: 1 }),
    SIGTTOU: () => intents.push({ type: 'resize', by: -1 }),
    SIGHUP: () => {
      // The terminal that started the program was closed.
      if (startedOnTerminal && !hasControllingTerminal())
        intents.push({ type: 'stop', cut: false, reason: 'terminal closed' })
      else intents.push({ type: 'reload', kind: 'reload-and-restart' })
    },
  }
  for (const [signal, handler] of Object.entries(handlers)) process.on(signal, handler)
  return () => {
    for (const [signal, handler] of Object.entries(handlers)) process.off(signal, handler)
  }
}

/** Opening /dev/tty fails with ENXIO after the terminal has hung up, and for a daemon that never had one. */
function hasControllingTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}
