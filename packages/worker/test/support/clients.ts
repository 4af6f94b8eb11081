// TLS clients of three makes.
import { execFile } from 'node:child_process'
import http2 from 'node:http2'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import type { ConnectionOptions } from 'node:tls'
import { next } from './sockets.ts'
import type { IncomingMessage } from 'node:http'

/** Everything `openssl s_client` says, with `input` typed in. It never fails: what it says is the result. */
export async function sClient(port: number, args: readonly string[], input = ''): Promise<string> {
  return await run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args], input)
}

/** Body, HTTP version and exit code of a GET, as `<body>|<version>|<code>`. */
export async function curl(port: number, host: string, args: readonly string[] = []): Promise<string> {
  const format = ['-w', '|%{http_version}|%{exitcode}']
  const target = ['--resolve', `${host}:${port}:127.0.0.1`, `https://${host}:${port}/`]
  return await run('curl', ['-ks', ...format, ...args, ...target], '')
}

async function run(command: string, args: readonly string[], input: string): Promise<string> {
  return await new Promise((resolve) => {
    const child = execFile(command, args, { timeout: 10_000 }, (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    )
    child.stdin?.end(input)
  })
}

export async function getOverHttp1(port: number, options: ConnectionOptions): Promise<string> {
  const request = https.get({ ...options, host: '127.0.0.1', port, agent: false, rejectUnauthorized: false })
  return await text(await next<IncomingMessage>(request, 'response'))
}

export async function getOverHttp2(port: number, options: ConnectionOptions): Promise<string> {
  const session = http2.connect(`https://127.0.0.1:${port}`, { ...options, rejectUnauthorized: false })
  try {
    await next(session, 'connect')
    return await text(session.request({ ':path': '/' }))
  } finally {
    session.destroy()
  }
}
