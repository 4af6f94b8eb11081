// `renew NAME`: what it comes to for whoever asked.
import { isoTime } from '@reverse-proxy/shared/clock'
import { describeWithHint } from '@reverse-proxy/shared/errors'
import type { CertificateRegistry } from '../../certificates/registry.ts'
import type { ListenerStatus } from '../../certificates/status.ts'
import type { RenewReport } from './reports.ts'

export type RenewResult =
  | ({ readonly status: 'ok' } & RenewReport)
  | { readonly status: 'error'; readonly message: string }

/** Renews every certificate that has `name`; resolves when the new ones are served. Never rejects. */
export async function renewByName(registry: CertificateRegistry, name: string): Promise<RenewResult> {
  try {
    const renewed = await registry.renew(name.toLowerCase())
    if (renewed.length > 0) return { status: 'ok', renewed: renewed.map(reportRenewed) }
    return { status: 'error', message: `no certificate has the name ${name}; certs lists them` }
  } catch (error) {
    return { status: 'error', message: describeWithHint(error) }
  }
}

function reportRenewed({
  listenerId,
  mode,
  certificates,
  unsaved,
}: ListenerStatus): RenewReport['renewed'][number] {
  return {
    listener: listenerId,
    mode,
    serials: certificates.map(({ serial }) => serial),
    not_after: isoTime(Math.min(...certificates.map(({ notAfterMs }) => notAfterMs))),
    unsaved: unsaved?.reason ?? null,
  }
}
