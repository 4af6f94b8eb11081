// The Huffman code of HPACK (RFC 7541 5.2 and appendix B), decoded four bits at a time. Strict: the padding is the
// beginning of EOS and shorter than a byte, and EOS itself never occurs. Pure.
import { compressionError } from '../frames/frames.ts'

const EOS = 256
/** Length in bits of the code of each byte, and of EOS. The code is canonical, so the lengths define it. */
// prettier-ignore
const CODE_LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5,
  6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
  23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23,
  23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20,
  19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
  27, 27, 26, 30,
]

/** A step of the automaton: the symbol if one is complete, and the next state. */
const SYMBOL_MASK = 0xff
const EMITS = 0x100
const FAILS = 0x200
const STATE_SHIFT = 16

const { STEPS, MAY_END } = buildAutomaton()

/** The shortest code has five bits. @returns the most bytes that `length` encoded bytes can give */
export function decodedBytesLimit(length: number): number {
  return Math.floor((length * 8) / 5)
}

/**
 * @param target has room for `decodedBytesLimit`
 * @returns how many bytes have been written to it
 * @throws ConnectionError COMPRESSION_ERROR
 */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number, target: Uint8Array): number {
  let state = 0
  let length = 0
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!
    let step = STEPS[state * 16 + (byte >> 4)]!
    if ((step & EMITS) !== 0) target[length++] = step & SYMBOL_MASK
    else if ((step & FAILS) !== 0) throw compressionError('EOS in a Huffman-coded string')
    step = STEPS[(step >>> STATE_SHIFT) * 16 + (byte & 15)]!
    if ((step & EMITS) !== 0) target[length++] = step & SYMBOL_MASK
    else if ((step & FAILS) !== 0) throw compressionError('EOS in a Huffman-coded string')
    state = step >>> STATE_SHIFT
  }
  if (MAY_END[state] === 0) throw compressionError('padding of a Huffman-coded string')
  return length
}

interface Automaton {
  /** At 16 * state + four bits. */
  readonly STEPS: Uint32Array
  /** States in which the bits since the last symbol are valid padding. */
  readonly MAY_END: Uint8Array
}

/** The states are the inner nodes of the code's tree; a leaf is the complement of its symbol. */
function buildAutomaton(): Automaton {
  const tree = buildTree()
  const steps = new Uint32Array(tree.length * 16)
  for (let state = 0; state < tree.length; state++) {
    for (let bits = 0; bits < 16; bits++) steps[state * 16 + bits] = stepOf(tree, state, bits)
  }
  const mayEnd = new Uint8Array(tree.length)
  let node = 0
  // RFC 7541 5.2: up to seven bits, the most significant ones of EOS, which are all ones.
  for (let bits = 0; bits <= 7; bits++) {
    mayEnd[node] = 1
    node = tree[node]![1]!
  }
  return { STEPS: steps, MAY_END: mayEnd }
}

function stepOf(tree: readonly (readonly number[])[], state: number, bits: number): number {
  let node = state
  let symbol = 0
  for (let shift = 3; shift >= 0; shift--) {
    const next = tree[node]![(bits >> shift) & 1]!
    if (next >= 0) {
      node = next
      continue
    }
    if (~next === EOS) return FAILS
    symbol = EMITS | ~next
    node = 0
  }
  return (node << STATE_SHIFT) | symbol
}

function buildTree(): number[][] {
  const symbols = [...CODE_LENGTHS.keys()].toSorted((a, b) => CODE_LENGTHS[a]! - CODE_LENGTHS[b]! || a - b)
  const tree: number[][] = [[0, 0]]
  let code = 0
  let length = 0
  for (const symbol of symbols) {
    code *= 2 ** (CODE_LENGTHS[symbol]! - length)
    length = CODE_LENGTHS[symbol]!
    let node = 0
    for (let shift = length - 1; shift > 0; shift--) {
      const bit = Math.floor(code / 2 ** shift) % 2
      if (tree[node]![bit] === 0) tree[node]![bit] = tree.push([0, 0]) - 1
      node = tree[node]![bit]!
    }
    tree[node]![code % 2] = ~symbol
    code += 1
  }
  return tree
}
