// What the command line said, as every command takes it.

export interface CommandArgs {
  readonly configFlag: string | undefined
  readonly allowWildcardBind: boolean
  readonly json: boolean
}
