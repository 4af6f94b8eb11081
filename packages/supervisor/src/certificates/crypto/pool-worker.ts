// The pool's end of jobs.ts: runs in a worker thread, which loads nothing else of the supervisor.
import type { JobName } from './job-table.ts'
import { JOBS } from './job-table.ts'

export interface Job {
  readonly name: JobName
  readonly input: unknown
}

/** `input` is what the named job takes: jobs.ts has seen to that. */
export async function runJob({
  name,
  input,
}: {
  readonly name: JobName
  readonly input: never
}): Promise<unknown> {
  return await JOBS[name](input)
}
