// A disk that is full soon, and has room again when a test says so.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export interface SmallDisk {
  /** A file there. */
  readonly path: string
  /** @param reopen tells the program to open its files anew, where that is what it takes */
  makeRoom(reopen: () => void): void
}

/** A tmpfs where one can be mounted; elsewhere the device that is always full, in whose place a file comes. */
export function createSmallDisk(t: TestContext, bytes: number): SmallDisk {
  const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-test-disk-'))
  const path = join(directory, 'file')
  const isMounted = mount(['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory])
  t.after(() => {
    if (isMounted) spawnSync('umount', ['--lazy', directory])
    rmSync(directory, { recursive: true })
  })
  if (isMounted) {
    return { path, makeRoom: () => void mount(['-o', 'remount,size=100m', directory]) }
  }
  symlinkSync('/dev/full', path)
  return {
    path,
    makeRoom: (reopen) => {
      rmSync(path)
      reopen()
    },
  }
}

function mount(args: readonly string[]): boolean {
  return existsSync('/bin/mount') && spawnSync('mount', args, { stdio: 'ignore' }).status === 0
}
