// The rule about request_headers and response_headers.
import { headerFault, type HeaderUse } from '../sites/header-changes.ts'
import { configIssue } from '../issues.ts'
import { everySettingsOf, type Rule } from './rule.ts'

const USES: readonly HeaderUse[] = ['request', 'response']

export const ruleHeaderChanges: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    for (const use of USES) {
      const key = `${use}_headers` as const
      const first = new Map<string, string>()
      for (const [name, text] of Object.entries(value[key] ?? {})) {
        if (text === undefined) continue
        const path = [...at, key, name]
        const fault = headerFault(name, text, use)
        if (fault !== undefined) yield configIssue('HEADER_INVALID', path, fault.message, fault.hint)
        const other = first.get(name.toLowerCase())
        if (other === undefined) first.set(name.toLowerCase(), name)
        else {
          const message = `${name} and ${other} are one field: names have no case`
          yield configIssue('HEADER_INVALID', path, message, 'remove one of the two')
        }
      }
    }
  }
}
