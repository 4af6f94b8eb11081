// What a generated request means, and what may become of it.

export type Fate =
  /** It goes up exactly as meant, and is answered. */
  | 'served'
  /** The proxy answers it; nothing goes up. */
  | 'answered'
  /** Nothing of it goes up as a whole request; over HTTP/1, nothing that follows it either. */
  | 'refused'
  /** `served` or `refused`. */
  | 'either'

export interface Meant {
  readonly id: number
  readonly method: string
  readonly path: string
  readonly authority: string
  readonly body: string
}

/** One way in which a request can be odd. `refused` wins over `answered`, that over `either`, that over `served`. */
export interface Mutation<Draft> {
  readonly name: string
  readonly fate: Fate
  /** False: it cannot be had together with what the draft is already. */
  readonly apply: (draft: Draft) => boolean | void
}

const WEIGHT: Readonly<Record<Fate, number>> = { served: 0, either: 1, answered: 2, refused: 3 }

export function worst(a: Fate, b: Fate): Fate {
  return WEIGHT[a] >= WEIGHT[b] ? a : b
}

/** The path of request `id`: by it the upstream tells whose request it got. */
export function pathOf(id: number): string {
  return `/f/${id}`
}

/** Undefined: the path of no generated request. */
export function idOf(path: string): number | undefined {
  const digits = /^\/f\/(\d+)(?![^/?])/u.exec(path)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
