// A disk that is full soon, and has room again when a test says so.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export interface SmallDisk {
  /** A file there. */
  readonly path: string
  /** False where that is not possible. */
  makeRoom(): boolean
}

/** A tmpfs where one can be mounted; elsewhere the device that is full for ever. */
export function createSmallDisk(t: TestContext, bytes: number): SmallDisk {
  const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-test-disk-'))
  const isMounted = mount(['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory])
  t.after(() => {
    if (isMounted) spawnSync('umount', ['--lazy', directory])
    rmSync(directory, { recursive: true })
  })
  return isMounted
    ? { path: join(directory, 'file'), makeRoom: () => mount(['-o', 'remount,size=100m', directory]) }
    : { path: '/dev/full', makeRoom: () => false }
}

function mount(args: readonly string[]): boolean {
  return existsSync('/bin/mount') && spawnSync('mount', args, { stdio: 'ignore' }).status === 0
}
