// acme-client itself, loaded when a CA is first asked: that takes as long as everything else of a start together.
import type acme from 'acme-client'

let loading: Promise<typeof acme> | undefined

export async function loadAcmeClient(): Promise<typeof acme> {
  loading ??= load()
  return await loading
}

async function load(): Promise<typeof acme> {
  const { default: library } = await import('acme-client')
  // acme-client's interceptors sleep through any Retry-After and turn network errors into TypeErrors
  // (its issue 101). They sit on one object for the whole process.
  library.axios.interceptors.request.clear()
  library.axios.interceptors.response.clear()
  return library
}
