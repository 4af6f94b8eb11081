// Writes the manual page: `pnpm -F supervisor man`.
import { writeFile } from 'node:fs/promises'
import { renderManPage } from '../src/cli/man-page.ts'
import { version } from '../src/cli/version.ts'

await writeFile(new URL('../../../docs/reverse-proxy.1', import.meta.url), renderManPage(version))
