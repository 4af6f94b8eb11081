// The limits as options of the runtime. Where we count ourselves (header bytes, header count), the runtime's own
// limit is twice ours, so that we get to see the request and can answer 431. Pure.
import type { SecureServerOptions, Settings } from 'node:http2'
import type { Limits } from '@reverse-proxy/shared/config/config'

/** How far HTTP/2 may run ahead of its reader on one stream. */
const STREAM_WINDOW_BYTES = 256 * 1024
/** An upstream may send 64 KiB of fields; HPACK accounting can make that more than ten times as much. */
const SENT_HEADER_BLOCK_BYTES = 1024 * 1024
/**
 * So many cookie crumbs are let through beside the fields: browsers keep 180 cookies for a site. A repeated crumb is
 * one byte of HPACK and costs a string and two pointers here, so that `header_bytes` alone bounds no memory.
 */
const MAX_CRUMBS = 256
/** Bytes that HTTP/2 counts for a crumb beside its value: its name, and 32 bytes (RFC 9113 6.5.2). */
const CRUMB_OVERHEAD_BYTES = 'cookie'.length + 32
/** Deadlines are looked after this often. */
export const SWEEP_INTERVAL_MS = 1000

export function runtimeHeaderBytes(limits: Pick<Limits, 'headerBytes'>): number {
  return 2 * limits.headerBytes
}

export function http2Settings(limits: Limits): Settings {
  return {
    maxConcurrentStreams: limits.http2Streams,
    maxHeaderListSize: Math.max(
      runtimeHeaderBytes(limits),
      limits.headerBytes + MAX_CRUMBS * CRUMB_OVERHEAD_BYTES,
    ),
    initialWindowSize: STREAM_WINDOW_BYTES,
    enablePush: false,
    // RFC 8441 3: never to be taken back.
    enableConnectProtocol: true,
  }
}

/** With the flood guards. Rapid reset: the runtime's own burst and rate. */
export function http2Options(limits: Limits): SecureServerOptions {
  return {
    settings: http2Settings(limits),
    maxSendHeaderBlockLength: SENT_HEADER_BLOCK_BYTES,
    maxHeaderListPairs: 2 * limits.headerCount + MAX_CRUMBS,
    maxOutstandingPings: 10,
    maxSettings: 32,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    // An upstream that repeats a header is not for us to correct.
    strictSingleValueFields: false,
  }
}
