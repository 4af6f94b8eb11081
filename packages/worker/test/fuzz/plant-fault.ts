// Loaded before a worker's own modules: from now on its pipeline sends by unframed-transport.ts.
import { registerHooks } from 'node:module'

registerHooks({
  resolve(specifier, context, nextResolve) {
    const isSending =
      specifier === './forward.ts' && context.parentURL?.endsWith('/src/pipeline/handlers/proxy.ts')
    if (isSending !== true) return nextResolve(specifier, context)
    return nextResolve(new URL('unframed-transport.ts', import.meta.url).href, context)
  },
})
