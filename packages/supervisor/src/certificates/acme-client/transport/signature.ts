// The signed body of a request (RFC 8555 6.2), made by acme-client, and the binding of a new account to one that the
// operator has at the CA (RFC 8555 7.3.4).
import type acme from 'acme-client'

export interface ExternalAccount {
  readonly kid: string
  /** base64url */
  readonly hmacKey: string
}

/** Signs with the account (by its URL) or, before there is one, with the bare key. */
export type Signer = { readonly accountUrl: string } | { readonly bindExternalAccount: boolean }

// The parts of acme-client that its types leave out.
interface Signing {
  getJwk(): object
  createSignedBody(
    url: string,
    payload: object | null,
    options: { nonce: string; kid: string | null },
  ): object
  createSignedHmacBody(hmacKey: string, url: string, payload: object, options: { kid: string }): object
}

export interface SignatureOptions {
  readonly signer: Signer
  readonly nonce: string
  readonly externalAccount: ExternalAccount | undefined
}

/** A `payload` of null is a POST-as-GET. */
export function signedBody(
  client: acme.Client,
  url: string,
  payload: object | null,
  { signer, nonce, externalAccount }: SignatureOptions,
): object {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its types hide the layer below
  const { http } = client as unknown as { readonly http: Signing }
  if ('accountUrl' in signer) return http.createSignedBody(url, payload, { nonce, kid: signer.accountUrl })
  if (!signer.bindExternalAccount || externalAccount === undefined) {
    return http.createSignedBody(url, payload, { nonce, kid: null })
  }
  const { kid, hmacKey } = externalAccount
  const externalAccountBinding = http.createSignedHmacBody(hmacKey, url, http.getJwk(), { kid })
  return http.createSignedBody(url, { ...payload, externalAccountBinding }, { nonce, kid: null })
}
