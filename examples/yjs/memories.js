// A memory is a set of registers in the map `memories` of a shard: docs/yjs.md says which, and how they merge.
import { blake2b } from '@noble/hashes/blake2.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'

const DEVICE = 'yjs example' // what the history of a memory shows as the place of a change
const random = (count) => crypto.getRandomValues(new Uint8Array(count))

/** An id: 48 bits of time and 80 of chance, five to a character. */
export function ulid () {
  const bits = BigInt(Date.now()) << 80n | BigInt(`0x${bytesToHex(random(10))}`)
  const five = (_, i) => '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[bits >> BigInt(125 - 5 * i) & 31n]
  return Array.from({ length: 26 }, five).join('')
}

/** The ids of the memories that are there. */
export const list = (map) => [...map.keys()].filter((key) => key.length === 26 && !map.has(`${key}/x`))

/** The texts that no later one was made from: several when devices edited while apart. The last is shown. */
export function heads (map, id) {
  const revisions = [...map].filter(([key]) => key.startsWith(`${id}/r/`))
    .map(([key, value]) => ({ name: key.slice(`${id}/r/`.length), ...value }))
  const bases = new Set(revisions.flatMap(({ base }) => base))
  const left = revisions.filter(({ name }) => !bases.has(name))
  return left.length
    ? left.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1))
    : [{ name: id, text: map.get(id).text }]
}

export const text = (map, id) => heads(map, id).at(-1).text

export function add (map, text) {
  const id = ulid()
  const salt = bytesToHex(random(16))
  const birth = { text, scope: 'global', kind: null, created_at: Date.now(), author: null, source: null }
  map.set(id, { ...birth, device: DEVICE, salt })
  return id
}

/** Gives a memory another text. The ones that it is made from are named, so that it takes their place. */
export function edit (map, id, text) {
  const base = heads(map, id).map(({ name }) => name)
  map.set(`${id}/r/${ulid()}`, { text, at: Date.now(), by: null, device: DEVICE, base })
}

/** Adds a tag. Its key hides it, since Yjs keeps the names of keys for ever; `null` as the value takes it away. */
export function tag (map, id, tag) {
  const salted = { key: hexToBytes(map.get(id).salt), dkLen: 10 }
  map.set(`${id}/t/${bytesToHex(blake2b(utf8ToBytes(tag), salted))}`, { tag, at: Date.now() })
}

/** Forgets a memory for good: memcrdt sweeps the rest of it, here and on every device. */
export const forget = (map, id) => map.delete(id)
