// Publishes the schema of the configuration file, for editors: `pnpm -F supervisor schema`.
import { writeFile } from 'node:fs/promises'
import { configSchema } from '@reverse-proxy/shared/config/schema'

const { $schema, title, ...schema } = configSchema
const target = new URL('../../../docs/config.schema.json', import.meta.url)
await writeFile(target, `${JSON.stringify({ $schema, title, ...schema }, undefined, 2)}\n`)
