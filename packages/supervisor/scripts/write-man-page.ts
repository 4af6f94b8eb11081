// Writes the manual page: `pnpm -F supervisor man`.
import { writeFile } from 'node:fs/promises'
import { renderManPage } from '../src/cli/usage/help.ts'
import { version } from '../src/os/version.ts'

await writeFile(new URL('../../../docs/reverse-proxy.1', import.meta.url), renderManPage(version))
