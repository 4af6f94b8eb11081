// Recognises another kind of file that was given in place of a configuration. Pure; called only if the file is not TOML.

interface Kind {
  readonly name: string
  readonly looksLike: (text: string) => boolean
  readonly hint: string
}

const WRITE_TOML = 'write it as TOML: deploy/config has examples'

/**
 * The first that fits counts. No pattern looks further than a line and the beginning of the next: a file of a million
 * empty lines must not take the supervisor's time.
 */
const KINDS: readonly Kind[] = [
  {
    name: 'a certificate or key (PEM)',
    looksLike: (text) => /^-----BEGIN [A-Z ]+-----/mu.test(text),
    hint: 'name the configuration file; certificates and keys are named in it',
  },
  {
    name: 'JSON',
    looksLike: (text) => /^\s*(?:\{\s*(?:["}]|\/[/*])|\[\s*\{\s*")/u.test(text),
    hint: `${WRITE_TOML}; {"workers": 2} is workers = 2, an object in a list is a [[listeners]] table`,
  },
  {
    name: 'an Apache configuration',
    looksLike: (text) => /^[ \t]*<(?:VirtualHost|IfModule|Directory|Location|Proxy)\b[^>\n]*>/mu.test(text),
    hint: `${WRITE_TOML}; a <VirtualHost> is a [[listeners.sites]] table, ProxyPass its upstream`,
  },
  {
    name: 'XML or HTML',
    looksLike: (text) => /^\s*<[?!a-z]/iu.test(text),
    hint: WRITE_TOML,
  },
  {
    name: 'a Caddyfile',
    looksLike: (text) =>
      /^[ \t]*(?:reverse_proxy|file_server|php_fastcgi|encode|handle|respond|tls)(?:\s[^=;\n]*)?$/mu.test(
        text,
      ) && /^(?:\S[^=;\n]*)?\{[ \t\r]*$/mu.test(text),
    hint: `${WRITE_TOML}; a site block is a [[listeners.sites]] table, reverse_proxy its upstream`,
  },
  {
    name: 'an nginx.conf',
    looksLike: (text) =>
      /^[ \t]*(?:(?:server|http|events|stream|upstream[ \t]+[^\s{]+)\s*|location[ \t][^{\n]*(?:\n[ \t]*)?)\{/mu.test(
        text,
      ) ||
      /^[ \t]*(?:server_name|proxy_pass|listen|worker_processes)[ \t][^=\n]*;[ \t\r]*(?:#.*)?$/mu.test(text),
    hint: `${WRITE_TOML}; a server block is a [[listeners.sites]] table, server_name its host, proxy_pass its upstream`,
  },
  {
    name: 'an haproxy.cfg',
    looksLike: (text) =>
      /^(?:frontend|backend|listen)[ \t]+\S+[ \t\r]*$/mu.test(text) ||
      (/^(?:global|defaults)[ \t\r]*$/mu.test(text) && !text.includes('=')),
    hint: `${WRITE_TOML}; a frontend is a [[listeners]] table, a backend the upstream of a site`,
  },
  {
    name: 'YAML',
    looksLike: isYaml,
    hint: `${WRITE_TOML}; workers: 2 is workers = 2, a list of maps is a [[listeners]] table for each`,
  },
]

/** Undefined: the file is probably meant to be TOML. */
export function lookAlike(text: string): { readonly name: string; readonly hint: string } | undefined {
  return KINDS.find(({ looksLike }) => looksLike(text))
}

/** More lines are `key:` or `- item` than `key =` or `[table]`. */
function isYaml(text: string): boolean {
  const lines = text.split('\n').filter((line) => !/^\s*(?:#.*)?$/u.test(line))
  const count = (pattern: RegExp): number => lines.filter((line) => pattern.test(line)).length
  const yaml = count(/^\s*(?:- )*[\w."'-]+:(?:\s|$)|^\s*- \S|^---\s*$/u)
  return yaml > 0 && yaml > count(/^\s*(?:[\w."'-]+\s*=|\[)/u)
}
