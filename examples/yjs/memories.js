// A memory is a set of registers in the map `memories` of a shard. docs/yjs.md lists them and explains how they merge.
import { blake2b } from '@noble/hashes/blake2.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'

const DEVICE = 'yjs example' // the history of a memory shows it as the place of a change
const random = (count) => crypto.getRandomValues(new Uint8Array(count))

/** Return a new id: 48 bits of time and 80 random bits, five bits per character. */
export function ulid () {
  const bits = BigInt(Date.now()) << 80n | BigInt(`0x${bytesToHex(random(10))}`)
  const five = (_, i) => '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[bits >> BigInt(125 - 5 * i) & 31n]
  return Array.from({ length: 26 }, five).join('')
}

/** Return the ids of the memories that exist. */
export const list = (map) => [...map.keys()].filter((key) => key.length === 26 && !map.has(`${key}/x`))

/** Return the texts that no later text was made from: several after edits on disconnected devices. The last is shown. */
export function heads (map, id) {
  const revisions = [...map].filter(([key]) => key.startsWith(`${id}/r/`))
    .map(([key, value]) => ({ name: key.slice(`${id}/r/`.length), ...value }))
  const bases = new Set(revisions.flatMap(({ base }) => base))
  const left = revisions.filter(({ name }) => !bases.has(name))
  return left.length
    ? left.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1))
    : [{ name: id, text: map.get(id).text }]
}

/** Return the text that is shown. */
export const text = (map, id) => heads(map, id).at(-1).text

/** Add a memory and return its id. */
export function add (map, text) {
  const id = ulid()
  const salt = bytesToHex(random(16))
  const birth = { text, scope: 'global', kind: null, created_at: Date.now(), author: null, source: null }
  map.set(id, { ...birth, device: DEVICE, salt })
  return id
}

/** Give a memory a new text. The new revision names the texts it is made from and so replaces them. */
export function edit (map, id, text) {
  const base = heads(map, id).map(({ name }) => name)
  map.set(`${id}/r/${ulid()}`, { text, at: Date.now(), by: null, device: DEVICE, base })
}

/** Add a tag. The key hides the tag, because Yjs keeps the names of keys permanently. `null` as the tag removes it. */
export function tag (map, id, tag) {
  const salted = { key: hexToBytes(map.get(id).salt), dkLen: 10 }
  map.set(`${id}/t/${bytesToHex(blake2b(utf8ToBytes(tag), salted))}`, { tag, at: Date.now() })
}

/** Forget a memory permanently: memcrdt removes the rest of it, here and on every device. */
export const forget = (map, id) => map.delete(id)
