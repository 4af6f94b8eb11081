// The proxies that are compared, configured alike: TLS 1.2 and 1.3 with the same certificate, HTTP/2 where they have
// it, the same headers to the upstream, kept-alive upstream connections, an access log line for each request, which nginx
// gathers as we do.
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'smol-toml'
import { PROGRAM } from '../harness/proxy.ts'

export const HOST = 'bench.test'

export interface Scene {
  /** Emptied and made anew for each start. */
  readonly directory: string
  readonly certPath: string
  readonly keyPath: string
  /** Certificate and key in one file. */
  readonly bothPath: string
  readonly upstreamPort: number
}

export interface PeerOptions {
  /** Worker processes or threads. */
  readonly workers: number
  readonly port: number
  /** Of ours only: keys of the configuration file, over those of the comparison. */
  readonly config?: Readonly<Record<string, unknown>>
}

export interface Running {
  readonly pid: number
  readonly port: number
  /** From the start of the process until it accepts connections. */
  readonly startMs: number
  stop(): Promise<void>
}

type Launch = (scene: Scene, options: PeerOptions) => readonly [file: string, ...args: string[]]

const LAUNCH = {
  ours: (scene, { workers, port, config }) => {
    const path = join(scene.directory, 'config.toml')
    const site = { host: HOST, upstream: `127.0.0.1:${scene.upstreamPort}` }
    const file = {
      workers,
      state_dir: join(scene.directory, 'state'),
      admin_socket_path: join(scene.directory, 'admin.sock'),
      health_check_port: 0,
      rate_limit: { requests_per_second: 10_000_000, burst: 10_000_000 },
      body: { limit_bytes: 1_000_000_000 },
      limits: {
        connections_per_client: 20_000,
        connections_per_worker: 20_000,
        requests_per_connection: 100_000_000,
      },
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: port,
          http_port: 0,
          tls: { mode: 'manual', cert_path: scene.certPath, key_path: scene.keyPath },
          sites: [site],
        },
      ],
      ...config,
    }
    writeFileSync(path, stringify(file))
    return [process.execPath, PROGRAM, '--config', path]
  },
  nginx: (scene, { workers, port }) => {
    const path = join(scene.directory, 'nginx.conf')
    writeFileSync(
      path,
      `daemon off; worker_processes ${workers}; pid ${scene.directory}/nginx.pid; error_log ${scene.directory}/error.log;
       worker_rlimit_nofile 65536;
       events { worker_connections 20000; }
       http {
         access_log ${scene.directory}/access.log combined buffer=64k flush=1s;
         client_body_temp_path ${scene.directory}/body; proxy_temp_path ${scene.directory}/proxy;
         fastcgi_temp_path ${scene.directory}/f; uwsgi_temp_path ${scene.directory}/u; scgi_temp_path ${scene.directory}/s;
         keepalive_requests 100000000; client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
         upstream up { server 127.0.0.1:${scene.upstreamPort}; keepalive 256; keepalive_requests 100000000; }
         map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
         server {
           listen 127.0.0.1:${port} ssl http2; server_name ${HOST};
           ssl_certificate ${scene.certPath}; ssl_certificate_key ${scene.keyPath};
           ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on; ssl_session_cache shared:s:10m;
           location / {
             proxy_pass http://up; proxy_http_version 1.1;
             proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade;
             proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
             proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https;
             proxy_set_header X-Forwarded-Host $host;
           }
         }
       }`,
    )
    return ['nginx', '-c', path]
  },
  haproxy: (scene, { workers, port }) => {
    const path = join(scene.directory, 'haproxy.cfg')
    writeFileSync(
      path,
      `global
         nbthread ${workers}
         maxconn 9000
         log stdout format raw local0
       defaults
         mode http
         log global
         option httplog
         timeout connect 5s
         timeout client 60s
         timeout server 60s
         timeout tunnel 1h
       frontend f
         bind 127.0.0.1:${port} ssl crt ${scene.bothPath} alpn h2,http/1.1 ssl-min-ver TLSv1.2
         http-request set-header X-Real-IP %[src]
         http-request set-header X-Forwarded-For %[src]
         http-request set-header X-Forwarded-Proto https
         http-request set-header X-Forwarded-Host %[req.hdr(host)]
         default_backend b
       backend b
         http-reuse always
         server s 127.0.0.1:${scene.upstreamPort}\n`,
    )
    return ['haproxy', '-db', '-f', path]
  },
  caddy: (scene, { port }) => {
    const path = join(scene.directory, 'Caddyfile')
    writeFileSync(
      path,
      `{
         admin off
         auto_https off
       }
       https://${HOST}:${port} {
         bind 127.0.0.1
         tls ${scene.certPath} ${scene.keyPath}
         log {
           output file ${scene.directory}/access.log
         }
         reverse_proxy 127.0.0.1:${scene.upstreamPort} {
           header_up X-Real-IP {remote_host}
         }
       }`,
    )
    return ['caddy', 'run', '--config', path, '--adapter', 'caddyfile']
  },
  'http-proxy': (scene, { port }) => [
    process.execPath,
    join(import.meta.dirname, 'stock-http-proxy.ts'),
    String(port),
    String(scene.upstreamPort),
    scene.certPath,
    scene.keyPath,
    join(scene.directory, 'access.log'),
  ],
} satisfies Record<string, Launch>

export type Peer = keyof typeof LAUNCH
export const PEERS: readonly Peer[] = ['ours', 'nginx', 'haproxy', 'caddy', 'http-proxy']

export const HTTP2_PEERS = PEERS.filter((peer) => peer !== 'http-proxy')

/** Resolves when it accepts connections, and ours when every worker does. */
export async function startPeer(peer: Peer, scene: Scene, options: PeerOptions): Promise<Running> {
  mkdirSync(scene.directory, { recursive: true })
  const launch: Launch = LAUNCH[peer]
  const [file, ...args] = launch(scene, options)
  const stdout = openSync(join(scene.directory, 'stdout.log'), 'a')
  const startedMs = performance.now()
  const child = spawn(file, args, {
    // Where haproxy and ours write their access log.
    stdio: ['ignore', stdout, stdout],
    env: { ...process.env, GOMAXPROCS: String(options.workers), HOME: scene.directory },
  })
  closeSync(stdout)
  const log = (): string => readFileSync(join(scene.directory, 'stdout.log'), 'utf8')
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const end = (): void => void child.kill('SIGKILL')
  process.once('exit', end)
  const until = async (isThere: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await isThere())) {
      if (child.exitCode !== null || child.pid === undefined)
        throw new Error(`${peer} ended: ${[file, ...args].join(' ')}\n${log()}`)
      await sleep(10)
    }
  }
  await until(async () => await accepts(options.port))
  const startMs = performance.now() - startedMs
  // The first worker accepts before the last one has booted, and until then the supervisor refuses to roll them.
  if (peer === 'ours') await until(() => log().includes(' READY '))
  return {
    pid: child.pid ?? -1,
    port: options.port,
    startMs,
    stop: async () => {
      child.kill(peer === 'ours' ? 'SIGINT' : 'SIGTERM')
      // Once more: what is in flight is nobody's concern here.
      child.kill('SIGINT')
      await Promise.race([exited, sleep(10_000).then(end)])
      process.off('exit', end)
    },
  }
}

async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
