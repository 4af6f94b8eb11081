// The parsed command line, as every command takes it.

export interface CommandArgs {
  readonly configFlag: string | undefined
  readonly allowWildcardBind: boolean
  readonly json: boolean
  /** The name server that `doctor` asks instead of this machine's. */
  readonly dns?: string | undefined
}
