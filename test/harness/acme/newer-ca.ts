// What CAs have today and Pebble 2.4 lacks: renewal information and `replaces` (RFC 9773), and profiles.
// Says no where Boulder does; everything else Pebble answers.
import type { Answer } from './exchange.ts'
import { problemAnswer, withJson } from './exchange.ts'
import type { IssuedCertificate } from './issued.ts'
import { IssuedCertificates } from './issued.ts'
import type { SuggestRenewal } from './renewal-info.ts'
import { renewalInfoAnswer, suggestAsUsual } from './renewal-info.ts'
import type { AcmeRequest } from './request.ts'
import { RENEWAL_INFO_PATH } from './request.ts'

const CREATED = 201

/** Each reason for which a CA refuses an order because of its `replaces`. */
export type ReplacesRefusal = 'alreadyReplaced' | 'conflict' | 'unauthorized' | 'unknown' | 'otherNames'

const REFUSALS: Readonly<Record<ReplacesRefusal, { status: number; type: string; detail: string }>> = {
  alreadyReplaced: { status: 409, type: 'alreadyReplaced', detail: 'the certificate has a replacement' },
  conflict: { status: 409, type: 'conflict', detail: 'the certificate is being replaced' },
  unauthorized: {
    status: 403,
    type: 'unauthorized',
    detail: 'the certificate was ordered by another account',
  },
  unknown: { status: 404, type: 'malformed', detail: 'there is no such certificate' },
  otherNames: { status: 400, type: 'malformed', detail: 'the certificate shares no name with the order' },
}

/** What an order asked for beyond what Pebble knows. */
interface OrderExtras {
  readonly profile: string | undefined
  readonly replaces: string | undefined
}

export class NewerCa {
  readonly certificates = new IssuedCertificates()
  readonly #orders = new Map<string, OrderExtras>()
  /** What it says of renewal; undefined if it has no such resource. */
  suggest: SuggestRenewal | undefined = suggestAsUsual
  /** Name -> description; none at all if empty. */
  profiles: Readonly<Record<string, string>> = {}

  /** The answer to a request, with Pebble's help. */
  async answer(request: AcmeRequest, askPebble: () => Promise<Answer>): Promise<Answer> {
    const { kind, path } = request
    if (kind === 'renewalInfo') return this.#answerRenewalInfo(path)
    if (kind === 'newOrder') return this.#refuseOrder(request) ?? this.#openOrder(request, await askPebble())
    const answer = await askPebble()
    if (kind === 'directory')
      return withJson(answer, (directory) => this.#extendDirectory(directory, request))
    if (kind === 'order') return this.#echoExtras(idOf(path), answer)
    if (kind === 'finalize') return this.#finalize(idOf(path), answer)
    return answer
  }

  #extendDirectory(directory: Record<string, unknown>, { headers }: AcmeRequest): Record<string, unknown> {
    const { meta } = directory
    return {
      ...directory,
      ...(this.suggest !== undefined && { renewalInfo: `https://${headers.host ?? ''}${RENEWAL_INFO_PATH}` }),
      ...(Object.keys(this.profiles).length > 0 && {
        meta: { ...(typeof meta === 'object' ? meta : undefined), profiles: this.profiles },
      }),
    }
  }

  #answerRenewalInfo(path: string): Answer {
    const certificate = this.certificates.find(idOf(path))
    const info = certificate === undefined ? undefined : this.suggest?.(certificate)
    if (info !== undefined) return renewalInfoAnswer(info)
    return problemAnswer({ status: 404, type: 'malformed', detail: 'there is no such certificate' })
  }

  #refuseOrder({ profile, replaces, accountUrl, identifiers }: AcmeRequest): Answer | undefined {
    if (profile !== undefined && !(profile in this.profiles)) {
      return problemAnswer({ status: 400, type: 'invalidProfile', detail: `there is no profile ${profile}` })
    }
    if (replaces === undefined || this.suggest === undefined) return undefined
    const reason = reasonAgainst(this.certificates.find(replaces), accountUrl, identifiers)
    return reason === undefined ? undefined : replacesRefusal(reason)
  }

  #openOrder({ profile, replaces }: AcmeRequest, answer: Answer): Answer {
    const { location } = answer.headers
    if (answer.status !== CREATED || typeof location !== 'string') return answer
    const id = idOf(location)
    this.#orders.set(id, { profile, replaces })
    return this.#echoExtras(id, answer)
  }

  #echoExtras(id: string, answer: Answer): Answer {
    const { profile, replaces } = this.#orders.get(id) ?? {}
    if (profile === undefined && replaces === undefined) return answer
    return withJson(answer, (order) =>
      'identifiers' in order ? Object.assign(order, { profile, replaces }) : order,
    )
  }

  #finalize(id: string, answer: Answer): Answer {
    const { replaces } = this.#orders.get(id) ?? {}
    const certificate = replaces === undefined ? undefined : this.certificates.find(replaces)
    if (certificate !== undefined && answer.status < 300) certificate.replaced = true
    return this.#echoExtras(id, answer)
  }
}

/** Names the field, as Boulder does: clients go by that. */
export function replacesRefusal(reason: ReplacesRefusal): Answer {
  const { status, type, detail } = REFUSALS[reason]
  return problemAnswer({ status, type, detail: `Could not validate ARI 'replaces' field :: ${detail}` })
}

function reasonAgainst(
  certificate: IssuedCertificate | undefined,
  accountUrl: string | undefined,
  identifiers: readonly string[],
): ReplacesRefusal | undefined {
  if (certificate === undefined) return 'unknown'
  if (certificate.replaced) return 'alreadyReplaced'
  if (certificate.accountUrl !== accountUrl) return 'unauthorized'
  return identifiers.some((name) => certificate.names.includes(name)) ? undefined : 'otherNames'
}

function idOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
