/**
 * The memories of a memcrdt space in JavaScript, for browsers and Node.js.
 *
 * `open` follows all shards of a space over one WebSocket. A `Space` shows the memories that the registers of all shards
 * make together, and writes registers. docs/yjs/data.md in the repository of memcrdt explains registers.
 */
import { blake2b } from '@noble/hashes/blake2.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'

/** @typedef {null | boolean | number | string | unknown[] | { [key: string]: unknown }} Json */
/** @typedef {{ revision: string, text: string, at: number, by: string | null, device: string, base: string[] }} Revision */
/** @typedef {{ rel: string, to: string }} Link */
/** @typedef {'scope' | 'kind' | 'pinned' | 'importance' | 'expires_at' | 'superseded_by' | 'trust' | 'imported_from'} AttributeName */
/**
 * A memory. Times are milliseconds since 1970.
 * @typedef {object} Memory
 * @property {string} id
 * @property {string} text the text of the latest head
 * @property {string} scope
 * @property {string | null} kind
 * @property {string | null} author
 * @property {string} device
 * @property {string | null} source
 * @property {number} created_at
 * @property {number} updated_at
 * @property {string[]} tags sorted
 * @property {Record<string, Json>} metadata
 * @property {Link[]} links sorted
 * @property {boolean} pinned
 * @property {number | null} importance
 * @property {number | null} expires_at
 * @property {string | null} superseded_by
 * @property {string | null} trust
 * @property {string | null} imported_from the device that added it before it was imported
 * @property {Revision[]} heads the texts that no other was made from, the shown one last; several are a conflict
 * @property {number} ignored registers that are not valid
 */
/**
 * What a new memory has besides its text.
 * @typedef {object} AddOptions
 * @property {string} [scope] `global` by default
 * @property {string | null} [kind]
 * @property {string | null} [author]
 * @property {string | null} [source]
 * @property {Iterable<string>} [tags]
 * @property {Record<string, Json>} [metadata]
 * @property {Iterable<Link>} [links]
 * @property {boolean} [pinned]
 * @property {number | null} [importance] from 0 to 1
 * @property {number | null} [expires_at]
 * @property {string | null} [trust]
 */
/**
 * What keeps a document between two visits, such as `IndexeddbPersistence` of y-indexeddb.
 * @typedef {object} Persistence
 * @property {Promise<unknown>} [whenSynced] resolved when the document has what was kept
 * @property {() => Promise<unknown>} clearData forgets what was kept
 * @property {() => unknown} destroy stops
 */
/**
 * @typedef {object} OpenOptions
 * @property {string} [device] the place of writes in the history of a memory; `JavaScript` by default
 * @property {string | null} [by] who writes
 * @property {(name: string, doc: Y.Doc) => Persistence} [persist] keeps the document of a shard
 * @property {any} [WebSocket] the class to use where there is no global one: `ws` in Node.js before 22
 */
/** @typedef {{ space: string, open: number, read_only: string | null, shards: { shard: number, births: number, registers: number, bytes: number }[] }} ShardList */
/**
 * Something in a shard was refused (4400). Nothing more of this copy of the shard is stored.
 * @typedef {object} Refusal
 * @property {number | null} shard null if the connection itself was refused
 * @property {string} reason
 * @property {() => Promise<Record<string, Json>>} recover drops the copy, also the persisted one, loads the shard again,
 *   and returns the registers that only the dropped copy had, except those that cannot be stored
 */
/**
 * @typedef {object} Events
 * @property {(ids: Set<string>) => void} change these memories have changed, here or elsewhere
 * @property {() => void} saved the device has durably stored all that was written here
 * @property {(list: ShardList) => void} list another shard is open for new memories, or a shard has begun
 * @property {(connected: boolean) => void} connection
 * @property {(refusal: Refusal) => void} refused close code 4400
 * @property {(reason: string) => void} revoked close code 4401 or an HTTP refusal: the space has stopped
 * @property {(reason: string) => void} denied "permission denied": writes are not taken
 */

const KIB = 1024
const MESSAGE_BYTES = 16 * KIB * KIB
const SILENCE_MS = 30_000 // the endpoint sends something at least every 12 s
const RETRY_MS = [100, 30_000]
const TIME_MAX_MS = 253_402_300_799_999
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/
const ID_CHARS = 26
const BASES = 64
const [HEARTBEAT, OF_SHARD, LIST, STORED, CLOSED] = [0, 1, 2, 3, 4]
const [SYNC, AUTH] = [0, 2]
const REASONS = /** @type {Record<number, string>} */ ({
  401: 'the token is not valid, or was revoked; make one with `memcrdt token create`',
  403: 'the token does not list the origin of this page; make one with `memcrdt token create NAME --origin ORIGIN`',
  404: 'there is no such space for this token'
})

/** An error with a code: `unauthorized`, `unreachable`, `denied`, `refused`, `invalid` or `unknown`. */
export class MemcrdtError extends Error {
  /** @param {string} code @param {string} message */
  constructor (code, message) {
    super(message)
    this.name = 'MemcrdtError'
    this.code = code
  }
}

// Values: what memcrdt takes for valid. Lengths count characters, not UTF-16 units.

const wellFormed = (/** @type {string} */ text) => !/\p{Surrogate}/u.test(text)
const isString = (/** @type {any} */ value, /** @type {number} */ chars) => typeof value === 'string' && value !== '' &&
  value.length <= 2 * chars && [...value].length <= chars && wellFormed(value)
const isText = (/** @type {any} */ value) => isString(value, 64 * KIB) && utf8ToBytes(value).length <= 64 * KIB
const isLabel = (/** @type {any} */ value) => isString(value, 256)
const isTime = (/** @type {any} */ value) => Number.isInteger(value) && value >= 0 && value <= TIME_MAX_MS
const isUlid = (/** @type {any} */ value) => typeof value === 'string' && ULID.test(value)
const isScope = (/** @type {any} */ value) => value === 'global' ||
  (typeof value === 'string' && /^(project|agent|conversation)\/(?! )[^\p{C}\p{Zl}\p{Zp}]+(?<! )$/u.test(value) &&
    !/(?! )\p{Zs}/u.test(value) && isString(value.slice(value.indexOf('/') + 1), 200))
const isObject = (/** @type {any} */ value) => typeof value === 'object' && value !== null &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value))
const orNull = (/** @type {(value: any) => boolean} */ is) => (/** @type {any} */ value) => value === null || is(value)

/** @param {any} value @param {number} depth @returns {boolean} */
function isJson (value, depth = 16) {
  if (depth < 0) return false
  if (Array.isArray(value)) return value.every((item) => isJson(item, depth - 1))
  if (isObject(value)) return Object.entries(value).every(([key, item]) => wellFormed(key) && isJson(item, depth - 1))
  if (typeof value === 'string') return wellFormed(value)
  return value === null || typeof value === 'boolean' || Number.isFinite(value)
}

/** Return a JSON text with sorted keys. @param {any} value @returns {string} */
const canonical = (value) => JSON.stringify(value, (_, item) => isObject(item)
  ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
  : typeof item === 'bigint' ? Number(item) : item) ?? 'null'

const ATTRIBUTES = /** @type {Record<string, (value: any) => boolean>} */ ({
  scope: isScope,
  kind: orNull(isLabel),
  pinned: (value) => typeof value === 'boolean',
  importance: orNull((value) => typeof value === 'number' && value >= 0 && value <= 1),
  expires_at: orNull(isTime),
  superseded_by: orNull(isUlid),
  trust: orNull(isLabel),
  imported_from: orNull(isLabel)
})
const IN_BIRTH = /** @type {Record<string, (value: any) => boolean>} */ ({
  text: isText,
  scope: isScope,
  kind: orNull(isLabel),
  created_at: isTime,
  author: orNull(isLabel),
  device: isLabel,
  source: orNull((value) => isString(value, 2 * KIB)),
  salt: (value) => typeof value === 'string' && /^[0-9a-f]{32}$/i.test(value)
})
const isBirth = (/** @type {any} */ value) => isObject(value) && Object.keys(IN_BIRTH).every((name) => IN_BIRTH[name](value[name] ?? null))

// Keys.

const random = (/** @type {number} */ count) => crypto.getRandomValues(new Uint8Array(count))
const hidden = (/** @type {string} */ salt, /** @type {string} */ name) =>
  bytesToHex(blake2b(utf8ToBytes(name), { key: hexToBytes(salt.toLowerCase()), dkLen: 10 }))
const base32 = (/** @type {bigint} */ bits) => Array.from({ length: ID_CHARS }, (_, i) =>
  '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[Number(bits >> BigInt(125 - 5 * i) & 31n)]).join('')

/** Return a new id: 48 bits of time and 80 random bits. */
export const ulid = () => base32(BigInt(Date.now()) << 80n | BigInt(`0x${bytesToHex(random(10))}`))

/** Return the revision that every device derives for the text of a birth that has a rival in another shard. */
function rival (/** @type {string} */ id, /** @type {string} */ text) {
  const parts = ['rival', id, text].map(utf8ToBytes)
  const message = new Uint8Array(parts.reduce((size, part) => size + 8 + part.length, 0))
  let at = 0
  for (const part of parts) {
    new DataView(message.buffer).setBigUint64(at, BigInt(part.length))
    message.set(part, at + 8)
    at += 8 + part.length
  }
  const personalization = new Uint8Array(16)
  personalization.set(utf8ToBytes('memcrdt key'))
  return base32(BigInt(`0x${bytesToHex(blake2b(message, { dkLen: 32, personalization }).slice(0, 16))}`))
}

// The merge rule.

const byAge = (/** @type {Revision} */ a, /** @type {Revision} */ b) => a.at - b.at || (a.revision < b.revision ? -1 : 1)
const order = (/** @type {any} */ value) => isObject(value) && isTime(value.at) ? value.at : -1
const precedes = (/** @type {any} */ a, /** @type {any} */ b) =>
  order(a) > order(b) || (order(a) === order(b) && canonical(a) > canonical(b))

/**
 * Return the memory that registers make, or null if it is forgotten or its birth has not arrived.
 * @param {string} id
 * @param {Record<string, any>[]} shards its registers in each shard that has any, lowest shard first
 * @returns {Memory & { salt: string } | null}
 */
export function project (id, shards) {
  if (shards.some((registers) => `${id}/x` in registers)) return null
  const births = shards.map((registers) => registers[id]).filter(isBirth)
  if (!births.length) return null
  const birth = births[0]
  /** @type {Record<string, any>} */
  const united = {}
  if (new Set(births.map(({ text }) => text)).size > 1) {
    births.sort((a, b) => b.created_at - a.created_at || (a.device < b.device ? 1 : -1))
    for (const { text, created_at: at, author: by, device } of births) {
      united[`${id}/r/${rival(id, text)}`] = { text, at, by: by ?? null, device, base: [] }
    }
  }
  const read = /** @type {Record<string, any>} */ ({})
  for (const registers of shards) {
    for (const [key, value] of Object.entries(registers)) {
      if (key !== id && (!(key in read) || precedes(value, read[key]))) read[key] = value
    }
  }
  const memory = found(id, birth, Object.assign(united, read))
  const first = { revision: id, text: birth.text, at: birth.created_at, by: birth.author ?? null, device: birth.device, base: [] }
  const revisions = memory.revisions.sort(byAge)
  const bases = new Set(revisions.flatMap(({ revision, base }) => base.filter((name) => name !== revision)))
  const heads = revisions.filter(({ revision }) => !bases.has(revision))
  memory.heads = heads.length ? heads : revisions.length ? revisions.slice(-1) : [first]
  const { revisions: _, ...shown } = memory
  return { ...shown, text: memory.heads[memory.heads.length - 1].text }
}

/**
 * Read the valid registers of a memory, and count the others.
 * @param {string} id @param {any} birth @param {Record<string, any>} registers
 */
function found (id, birth, registers) {
  const { text, scope, kind = null, author = null, device, source = null, created_at: createdAt, salt } = birth
  const memory = /** @type {Memory & { salt: string, revisions: Revision[] }} */ ({
    id, text, scope, kind, author, device, source, salt, created_at: createdAt, updated_at: createdAt,
    tags: [], metadata: {}, links: [], heads: [], revisions: [], ignored: 0,
    pinned: false, importance: null, expires_at: null, superseded_by: null, trust: null, imported_from: null
  })
  for (const [key, value] of Object.entries(registers)) {
    const [, field, ...rest] = key.split('/')
    const read = READERS[field]
    const name = rest.join('/')
    if (!read || (field === 'a' && !Object.hasOwn(ATTRIBUTES, name))) continue // a newer version wrote it
    const naming = NAMED_BY[field]
    if (value === null && naming) continue // removed by the short form
    const isRemoved = naming && isObject(value) && (value[naming] ?? null) === null
    if (isObject(value) && isTime(value.at) && (isRemoved || read(memory, name, value))) {
      memory.updated_at = Math.max(memory.updated_at, value.at)
    } else memory.ignored++
  }
  memory.tags.sort()
  memory.links.sort((a, b) => (a.rel < b.rel || (a.rel === b.rel && a.to < b.to) ? -1 : 1))
  return memory
}

const NAMED_BY = /** @type {Record<string, string>} */ ({ t: 'tag', m: 'key', l: 'rel' })
const READERS = /** @type {Record<string, (memory: Memory & { salt: string, revisions: Revision[] }, name: string, value: any) => boolean>} */ ({
  t: ({ salt, tags }, name, { tag }) => isString(tag, 128) && hidden(salt, tag) === name && tags.push(tag) > 0,
  m: ({ salt, metadata }, name, { key, value }) => {
    if (!(isString(key, 128) && value !== undefined && isJson(value) && hidden(salt, key) === name)) return false
    if (utf8ToBytes(canonical(value)).length > 8 * KIB) return false
    Object.defineProperty(metadata, key, { value, enumerable: true, configurable: true, writable: true }) // also __proto__
    return true
  },
  l: ({ salt, links }, name, { rel, to }) => isLabel(rel) && isUlid(to) && hidden(salt, `${to}/${rel}`) === name &&
    links.push({ rel, to }) > 0,
  a: (memory, name, value) => {
    if (value.value === undefined || !ATTRIBUTES[name](value.value)) return false
    Object.assign(memory, { [name]: value.value })
    return true
  },
  r: ({ id, revisions }, revision, { text, at, by = null, device, base }) => revision !== id && isUlid(revision) && isText(text) &&
    orNull(isLabel)(by) && isLabel(device) && Array.isArray(base) && base.length <= BASES && base.every(isUlid) &&
    revisions.push({ revision, text, at, by, device, base }) > 0
})

/** One document of the space, and what the endpoint has of it. */
class Shard {
  /** @param {number} number @param {Y.Doc} doc */
  constructor (number, doc) {
    this.number = number
    this.doc = doc
    this.map = /** @type {Y.Map<any>} */ (doc.getMap('memories'))
    this.keys = /** @type {Map<string, Set<string>>} */ (new Map()) // by memory
    this.persistence = /** @type {Persistence | undefined} */ (undefined)
    this.ready = Promise.resolve() // when persisted content is loaded
    this.isDirty = false // it may have changes that are not stored
    this.isRefused = false
    this.isSynced = false
    this.isBegun = false // on this connection
    this.sent = 0 // updates on this connection
  }
}

/** The memories of a space. `open` returns one. */
export class Space {
  #url; #token; #options; #socket = /** @type {any} */ (null); #isClosed = false; #failures = 0
  #shards = /** @type {Map<number, Shard>} */ (new Map())
  #list = /** @type {ShardList} */ ({ space: '', open: 0, read_only: null, shards: [] })
  #memories = /** @type {Map<string, ReturnType<typeof project>>} */ (new Map()) // as last read
  #listeners = /** @type {Map<string, Set<Function>>} */ (new Map())
  #recovered = /** @type {Set<number>} */ (new Set()) // shards that were refused once: they may be full
  #timers = /** @type {{ silence?: any, retry?: any }} */ ({})
  #whenSynced = /** @type {{ resolve: () => void, reject: (error: Error) => void } | null} */ (null)

  /** @param {string} url @param {string} token @param {OpenOptions} options */
  constructor (url, token, options) {
    this.#url = url.replace(/\/+$/, '')
    this.#token = token
    this.#options = { device: 'JavaScript', by: null, WebSocket: globalThis.WebSocket, ...options }
  }

  /** Connect, and return once all shards are loaded. `open` calls it. @returns {Promise<this>} */
  async start () {
    if (!this.#options.WebSocket) throw new MemcrdtError('invalid', 'there is no WebSocket here; pass one: { WebSocket }')
    try {
      await this.#connect()
    } catch (error) {
      await this.close()
      throw error
    }
    return this
  }

  // Reading

  /** Whether the device has durably stored all that was written here. Other devices may not have it yet. */
  get isSaved () { return [...this.#shards.values()].every((shard) => !shard.isDirty) }

  /** Whether the connection is open and all shards are loaded. */
  get isConnected () { return this.#socket?.readyState === 1 && [...this.#shards.values()].every((shard) => shard.isSynced || shard.isRefused) }

  /** The list of shards, and why this client may not write, if so. */
  get shards () { return this.#list }

  /** Return a memory, or undefined. It may be expired or superseded. @param {string} id @returns {Memory | undefined} */
  get (id) {
    const memory = this.#read(id)
    if (!memory) return undefined
    const { salt: _, ...shown } = memory
    return shown
  }

  /** Return all memories, also expired and superseded ones, the oldest first. @returns {Memory[]} */
  list () {
    const ids = new Set([...this.#shards.values()].flatMap((shard) => [...shard.keys.keys()]))
    const memories = /** @type {Memory[]} */ ([...ids].map((id) => this.get(id)).filter(Boolean))
    return memories.sort((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : 1))
  }

  /**
   * Call a function at an event. Returns a function that ends this.
   * @template {keyof Events} E
   * @param {E} event @param {Events[E]} listener @returns {() => void}
   */
  on (event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, listeners.add(listener))
    return () => { listeners.delete(listener) }
  }

  /** Wait until everything is saved. Rejects when the space stops or refuses something first. @returns {Promise<void>} */
  whenSaved () {
    if (this.isSaved) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const fail = (/** @type {string} */ code) => (/** @type {any} */ why) => { end(); reject(new MemcrdtError(code, why.reason ?? why)) }
      const ends = [
        this.on('saved', () => { end(); resolve() }),
        this.on('refused', fail('refused')), this.on('revoked', fail('unauthorized')), this.on('denied', fail('denied'))
      ]
      const end = () => ends.forEach((stop) => stop())
      if (this.#isClosed) fail('unreachable')('the space is closed')
      if ([...this.#shards.values()].some((shard) => shard.isRefused && shard.isDirty)) fail('refused')('a shard was refused; recover it')
      if (this.#list.read_only) fail('denied')(this.#list.read_only)
    })
  }

  // Writing

  /** Add a memory to the shard that is open, and return its id. @param {string} text @param {AddOptions} [options] @returns {string} */
  add (text, options = {}) {
    const { scope = 'global', kind = null, author = this.#options.by, source = null, tags = [], metadata = {}, links = [], ...attributes } = options
    const id = ulid()
    const salt = bytesToHex(random(16))
    const birth = { text, scope, kind, created_at: Date.now(), author, device: this.#options.device, source, salt }
    for (const name of Object.keys(IN_BIRTH)) check(IN_BIRTH[name](/** @type {any} */ (birth)[name]), name)
    const given = Object.entries(attributes).filter(([, value]) => value !== undefined)
    const writes = Object.fromEntries([
      [id, birth],
      ...[...tags].map((tag) => tagged(id, salt, tag)),
      ...Object.entries(metadata).map(([key, value]) => described(id, salt, key, value)),
      ...[...links].map(({ rel, to }) => linked(id, salt, rel, to)),
      ...given.map(([name, value]) => attributed(id, name, value))
    ])
    this.#write(this.#shard(this.#list.open), writes)
    return id
  }

  /** Give a memory a new text, made from all its heads. @param {string} id @param {string} text */
  edit (id, text) {
    const { heads } = this.#existing(id)
    check(isText(text), 'text')
    const { device, by } = this.#options
    const base = heads.slice(-BASES).map(({ revision }) => revision)
    this.#set(id, [`${id}/r/${ulid()}`, { text, at: Date.now(), by, device, base }])
  }

  /** Add a tag. @param {string} id @param {string} tag */
  tag (id, tag) { this.#set(id, tagged(id, this.#existing(id).salt, tag)) }

  /** Remove a tag. @param {string} id @param {string} tag */
  untag (id, tag) { this.#set(id, removed(tagged(id, this.#existing(id).salt, tag), 'tag')) }

  /** Set an entry of the metadata. @param {string} id @param {string} key @param {Json} value */
  describe (id, key, value) { this.#set(id, described(id, this.#existing(id).salt, key, value)) }

  /** Remove an entry of the metadata. @param {string} id @param {string} key */
  undescribe (id, key) { this.#set(id, removed(described(id, this.#existing(id).salt, key, null), 'key')) }

  /** Link a memory to another. @param {string} id @param {string} rel @param {string} to */
  link (id, rel, to) { this.#set(id, linked(id, this.#existing(id).salt, rel, to)) }

  /** Remove a link. @param {string} id @param {string} rel @param {string} to */
  unlink (id, rel, to) {
    const [key, value] = removed(linked(id, this.#existing(id).salt, rel, to), 'rel')
    this.#set(id, [key, { ...value, to: null }])
  }

  /** Set an attribute. @param {string} id @param {AttributeName} name @param {Json} value */
  setAttribute (id, name, value) { this.#existing(id); this.#set(id, attributed(id, name, value)) }

  /** Forget a memory permanently: memcrdt removes the rest of it, here and on every device. @param {string} id */
  forget (id) {
    this.#existing(id)
    for (const shard of this.#shards.values()) if (shard.map.has(id)) this.#write(shard, { [id]: undefined })
  }

  /** Close the connection, and stop persisting. What is not saved by then stays in what was persisted, if anything. */
  async close () {
    this.#stop()
    for (const { persistence, doc } of this.#shards.values()) {
      await persistence?.destroy()
      doc.destroy()
    }
  }

  #read (/** @type {string} */ id) {
    if (!this.#memories.has(id)) this.#memories.set(id, project(id, this.#homes(id).map((shard) => registersOf(shard, id))))
    return this.#memories.get(id)
  }

  #existing (/** @type {string} */ id) {
    const memory = this.#read(id)
    if (!memory) throw new MemcrdtError('unknown', `there is no memory ${id}`)
    return memory
  }

  #homes (/** @type {string} */ id) {
    return [...this.#shards.values()].filter(({ keys }) => keys.has(id)).sort((a, b) => a.number - b.number)
  }

  #set (/** @type {string} */ id, /** @type {[string, any]} */ [key, value]) {
    const homes = this.#homes(id)
    const home = homes.find(({ map }) => isBirth(map.get(id)))
    const shard = home && !this.#recovered.has(home.number) ? home : this.#shard(this.#list.open)
    // Between shards the later value wins, and the clock here may be behind.
    const others = homes.filter((each) => each !== shard).map(({ map }) => order(map.get(key)))
    const at = Math.min(Math.max(value.at, ...others.map((other) => other + 1)), TIME_MAX_MS)
    this.#write(shard, { [key]: { ...value, at } })
  }

  #write (/** @type {Shard} */ shard, /** @type {Record<string, any>} */ writes) {
    if (this.#isClosed) throw new MemcrdtError('unreachable', 'the space is closed')
    if (this.#list.read_only) throw new MemcrdtError('denied', `permission denied: ${this.#list.read_only}`)
    if (shard.isRefused) throw new MemcrdtError('refused', `shard ${shard.number} was refused; call recover() of the event`)
    shard.doc.transact(() => {
      for (const [key, value] of Object.entries(writes)) {
        if (value === undefined) shard.map.delete(key)
        else shard.map.set(key, value)
      }
    })
  }

  #emit (/** @type {keyof Events} */ event, /** @type {any[]} */ ...values) {
    for (const listener of [...this.#listeners.get(event) ?? []]) {
      try { listener(...values) } catch (error) { console.error(error) } // a listener must not break the connection
    }
  }

  // Shards

  #shard (/** @type {number} */ number) {
    const known = this.#shards.get(number)
    if (known) return known
    const shard = new Shard(number, new Y.Doc())
    this.#shards.set(number, shard)
    shard.map.observe(({ keysChanged }) => this.#changed(shard, keysChanged))
    shard.persistence = this.#options.persist?.(`${this.#url}/${number}`, shard.doc)
    if (shard.persistence) {
      shard.ready = Promise.resolve(shard.persistence.whenSynced).then(() => {
        shard.isDirty ||= Y.encodeStateVector(shard.doc).length > 1 // it is not known what of it is stored
      })
    }
    shard.doc.on('update', (update, origin) => {
      if (origin === this || (shard.persistence && origin === shard.persistence)) return
      shard.isDirty = true
      if (shard.isBegun) this.#sendUpdate(shard, 2, update)
    })
    return shard
  }

  #changed (/** @type {Shard} */ shard, /** @type {Set<any>} */ keys) {
    const ids = new Set()
    for (const key of keys) {
      const id = key.slice(0, ID_CHARS)
      if (!isUlid(id) || !['', '/'].includes(key.slice(ID_CHARS, ID_CHARS + 1))) continue
      const held = shard.keys.get(id) ?? new Set()
      if (shard.map.has(key)) held.add(key)
      else held.delete(key)
      if (held.size) shard.keys.set(id, held)
      else shard.keys.delete(id)
      this.#memories.delete(id)
      ids.add(id)
    }
    if (ids.size) this.#emit('change', ids)
  }

  #refuse (/** @type {Shard} */ shard, /** @type {string} */ reason) {
    if (shard.isRefused) return
    shard.isRefused = true
    shard.isBegun = false
    this.#emit('refused', { shard: shard.number, reason, recover: () => this.#recover(shard) })
    this.#checkSynced()
  }

  async #recover (/** @type {Shard} */ shard) {
    const old = Object.fromEntries([...shard.map].filter(([, value]) => isJson(value, 64)))
    const ids = new Set(shard.keys.keys())
    this.#recovered.add(shard.number)
    await shard.persistence?.clearData()
    await shard.persistence?.destroy()
    shard.doc.destroy()
    this.#shards.delete(shard.number)
    for (const id of ids) this.#memories.delete(id)
    const fresh = this.#shard(shard.number)
    this.#disconnect() // a shard that has ended begins again on another connection
    await this.#connect().catch((error) => { this.#retry(); throw error })
    this.#emit('change', ids)
    const isKept = (/** @type {string} */ key) => fresh.map.has(`${key.slice(0, ID_CHARS)}/x`) ||
      (fresh.map.has(key) && canonical(fresh.map.get(key)) === canonical(old[key]))
    return Object.fromEntries(Object.entries(old).filter(([key]) => !isKept(key)))
  }

  // The connection

  /** Connect, and wait until all shards are loaded. @returns {Promise<void>} */
  async #connect () {
    this.#hear(await readList(this.#url, this.#token))
    await Promise.all([...this.#shards.values()].map(({ ready }) => ready))
    if (this.#isClosed) throw new MemcrdtError('unreachable', 'the space is closed')
    const socket = new this.#options.WebSocket(`${this.#url.replace(/^http/, 'ws')}?token=${encodeURIComponent(this.#token)}`)
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    const synced = new Promise((resolve, reject) => { this.#whenSynced = { resolve: () => resolve(undefined), reject } })
    socket.onopen = () => {
      this.#watch()
      for (const shard of this.#shards.values()) this.#begin(shard)
    }
    socket.onmessage = (/** @type {any} */ event) => {
      if (socket !== this.#socket) return
      this.#watch()
      this.#receive(new Uint8Array(event.data))
    }
    socket.onerror = () => {} // a close follows
    socket.onclose = (/** @type {any} */ event) => { if (socket === this.#socket) this.#ended(event.code, event.reason) }
    await synced
    this.#failures = 0
    this.#emit('connection', true)
  }

  #watch () {
    clearTimeout(this.#timers.silence)
    this.#timers.silence = setTimeout(() => this.#ended(1006, 'the endpoint is silent'), SILENCE_MS)
  }

  #disconnect () {
    clearTimeout(this.#timers.silence)
    clearTimeout(this.#timers.retry)
    const socket = this.#socket
    this.#socket = null
    for (const shard of this.#shards.values()) shard.isBegun = shard.isSynced = false
    socket?.close()
  }

  #stop () {
    this.#isClosed = true
    this.#disconnect()
  }

  #ended (/** @type {number} */ code, /** @type {string} */ reason) {
    const waiting = this.#whenSynced
    this.#whenSynced = null
    this.#disconnect()
    if (!waiting) this.#emit('connection', false)
    if (code >= 4400 && code < 4500) {
      this.#stop()
      if (code === 4401) this.#emit('revoked', reason)
      else this.#emit('refused', { shard: null, reason, recover: async () => { this.#isClosed = false; await this.#connect(); return {} } })
    }
    // The failure of an attempt is handled by its caller.
    if (waiting) waiting.reject(new MemcrdtError(code === 4401 ? 'unauthorized' : 'unreachable', reason || `the connection to ${this.#url} ended`))
    else this.#retry()
  }

  #retry () {
    if (this.#isClosed) return
    const [first, most] = RETRY_MS
    const delay = Math.min(first * 2 ** this.#failures++, most) * (0.5 + Math.random() / 2)
    this.#timers.retry = setTimeout(() => this.#connect().catch((error) => {
      if (error.code !== 'unauthorized') return this.#retry()
      if (!this.#isClosed) this.#emit('revoked', error.message)
      this.#stop()
    }), delay)
  }

  #send (/** @type {Shard} */ shard, /** @type {(encoder: encoding.Encoder) => void} */ write) {
    const encoder = encoding.createEncoder()
    encoding.writeVarUint(encoder, OF_SHARD)
    encoding.writeVarUint(encoder, shard.number)
    write(encoder)
    this.#socket.send(encoding.toUint8Array(encoder))
  }

  #sendUpdate (/** @type {Shard} */ shard, /** @type {1 | 2} */ kind, /** @type {Uint8Array} */ update) {
    if (update.length > MESSAGE_BYTES) {
      return this.#refuse(shard, `a change of shard ${shard.number} has ${update.length} bytes; at most ${MESSAGE_BYTES} can be sent at once`)
    }
    shard.sent++
    this.#send(shard, (encoder) => {
      encoding.writeVarUint(encoder, SYNC)
      encoding.writeVarUint(encoder, kind)
      encoding.writeVarUint8Array(encoder, update)
    })
  }

  #begin (/** @type {Shard} */ shard) {
    if (shard.isRefused || shard.isBegun || this.#socket?.readyState !== 1) return
    shard.isBegun = true
    shard.sent = 0
    this.#send(shard, (encoder) => {
      encoding.writeVarUint(encoder, SYNC)
      encoding.writeVarUint(encoder, 0)
      encoding.writeVarUint8Array(encoder, Y.encodeStateVector(shard.doc))
    })
  }

  #hear (/** @type {ShardList} */ list) {
    const isNew = list.open !== this.#list.open || list.shards.length !== this.#list.shards.length
    const isDenied = list.read_only && list.read_only !== this.#list.read_only
    this.#list = list
    for (const number of [...list.shards.map(({ shard }) => shard), list.open]) {
      const shard = this.#shard(number)
      shard.ready.then(() => this.#begin(shard))
    }
    if (isNew) this.#emit('list', list)
    if (isDenied) this.#emit('denied', list.read_only)
  }

  #receive (/** @type {Uint8Array} */ frame) {
    const decoder = decoding.createDecoder(frame)
    const kind = decoding.readVarUint(decoder)
    if (kind === HEARTBEAT) return
    if (kind === LIST) return this.#hear(JSON.parse(decoding.readVarString(decoder)))
    const shard = this.#shards.get(decoding.readVarUint(decoder))
    if (!shard?.isBegun) return
    if (kind === OF_SHARD) this.#take(shard, decoder)
    else if (kind === STORED) this.#stored(shard, decoding.readVarUint(decoder))
    else if (kind === CLOSED) {
      decoding.readVarUint(decoder)
      this.#refuse(shard, decoding.readVarString(decoder))
    }
  }

  #take (/** @type {Shard} */ shard, /** @type {decoding.Decoder} */ decoder) {
    const type = decoding.readVarUint(decoder)
    const step = type === SYNC || type === AUTH ? decoding.readVarUint(decoder) : 0
    if (type === AUTH) this.#emit('denied', decoding.readVarString(decoder))
    if (type !== SYNC) return
    const data = decoding.readVarUint8Array(decoder)
    if (step === 0) {
      if (shard.isDirty || isBehind(data, shard.doc)) this.#sendUpdate(shard, 1, Y.encodeStateAsUpdate(shard.doc, data))
      return
    }
    Y.applyUpdate(shard.doc, data, this)
    if (step === 1) {
      shard.isSynced = true
      this.#checkSynced()
    }
  }

  #stored (/** @type {Shard} */ shard, /** @type {number} */ number) {
    if (number !== shard.sent || !shard.isDirty) return
    shard.isDirty = false
    if (this.isSaved) this.#emit('saved')
  }

  #checkSynced () {
    if (!this.#whenSynced || !this.isConnected) return
    this.#whenSynced.resolve()
    this.#whenSynced = null
  }
}

/**
 * Open a space, and load all its shards.
 *
 * Rejects with a MemcrdtError: `unauthorized` if the token is not valid here, `unreachable` if nothing answers.
 * @param {string} url such as http://127.0.0.1:27381/yjs/personal
 * @param {string} token
 * @param {OpenOptions} [options]
 * @returns {Promise<Space>}
 */
export async function open (url, token, options = {}) {
  return new Space(url, token, options).start()
}

/** Read the list of shards. @param {string} url @param {string} token @returns {Promise<ShardList>} */
async function readList (url, token) {
  let response
  try {
    response = await fetch(url, { headers: { Authorization: `Bearer ${token}` }, cache: 'no-store' })
    if (response.ok) return await response.json()
  } catch (error) {
    throw new MemcrdtError('unreachable', `cannot read ${url}: ${error}`)
  }
  const reason = REASONS[response.status]
  throw new MemcrdtError(reason ? 'unauthorized' : 'unreachable', reason ?? `${url} answers with status ${response.status}`)
}

function check (/** @type {boolean} */ isValid, /** @type {string} */ name) {
  if (!isValid) throw new MemcrdtError('invalid', `the ${name} is not valid; docs/yjs/data.md lists what is`)
}

/** @returns {[string, any]} */
function tagged (/** @type {string} */ id, /** @type {string} */ salt, /** @type {string} */ tag) {
  check(isString(tag, 128), 'tag')
  return [`${id}/t/${hidden(salt, tag)}`, { tag, at: Date.now() }]
}

/** @returns {[string, any]} */
function described (/** @type {string} */ id, /** @type {string} */ salt, /** @type {string} */ key, /** @type {Json} */ value) {
  check(isString(key, 128), 'key')
  check(isJson(value) && utf8ToBytes(canonical(value)).length <= 8 * KIB, 'value')
  return [`${id}/m/${hidden(salt, key)}`, { key, value, at: Date.now() }]
}

/** @returns {[string, any]} */
function linked (/** @type {string} */ id, /** @type {string} */ salt, /** @type {string} */ rel, /** @type {string} */ to) {
  check(isLabel(rel) && isUlid(to), 'link')
  return [`${id}/l/${hidden(salt, `${to}/${rel}`)}`, { rel, to, at: Date.now() }]
}

/** @returns {[string, any]} */
function attributed (/** @type {string} */ id, /** @type {string} */ name, /** @type {any} */ value) {
  check(Object.hasOwn(ATTRIBUTES, name) && ATTRIBUTES[name](value), name)
  return [`${id}/a/${name}`, { value, at: Date.now() }]
}

/** @returns {[string, any]} */
function removed (/** @type {[string, any]} */ [key, value], /** @type {string} */ naming) {
  return [key, { ...value, ...('value' in value ? { value: null } : {}), [naming]: null }]
}

/** Whether a state vector lacks blocks of a document. */
function isBehind (/** @type {Uint8Array} */ theirs, /** @type {Y.Doc} */ doc) {
  const known = Y.decodeStateVector(theirs)
  return [...Y.decodeStateVector(Y.encodeStateVector(doc))].some(([client, clock]) => clock > (known.get(client) ?? 0))
}

/** @returns {Record<string, any>} */
function registersOf (/** @type {Shard} */ shard, /** @type {string} */ id) {
  return Object.fromEntries([...shard.keys.get(id) ?? []].map((key) => [key, shard.map.get(key)]))
}
