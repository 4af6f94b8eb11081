// One finding of `doctor`. Pure.

/** warn: may be right, and often is not. fail: the start, or the order, will fail. */
export type Verdict = 'ok' | 'warn' | 'fail'

export interface Finding {
  readonly check: string
  /** A name, an address and port, a directory, ... */
  readonly subject: string
  readonly verdict: Verdict
  readonly message: string
  /** Tells what to do; set for everything but `ok`. */
  readonly hint?: string
}

/** The findings of one check about one subject. */
export interface Judge {
  ok(message: string): Finding
  warn(message: string, hint: string): Finding
  fail(message: string, hint: string): Finding
}

export function judgeOf(check: string, subject: string): Judge {
  return {
    ok: (message) => ({ check, subject, verdict: 'ok', message }),
    warn: (message, hint) => ({ check, subject, verdict: 'warn', message, hint }),
    fail: (message, hint) => ({ check, subject, verdict: 'fail', message, hint }),
  }
}
