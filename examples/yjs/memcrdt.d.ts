/**
 * Return the memory that registers make, or null if it is forgotten or its birth has not arrived.
 * @param {string} id
 * @param {Record<string, any>[]} shards its registers in each shard that has any, lowest shard first
 * @returns {Memory & { salt: string } | null}
 */
export function project(id: string, shards: Record<string, any>[]): (Memory & {
    salt: string;
}) | null;
/**
 * Open a space, and load all its shards.
 *
 * Rejects with a MemcrdtError: `unauthorized` if the token is not valid here, `unreachable` if nothing answers.
 * @param {string} url such as http://127.0.0.1:27381/yjs/personal
 * @param {string} token
 * @param {OpenOptions} [options]
 * @returns {Promise<Space>}
 */
export function open(url: string, token: string, options?: OpenOptions): Promise<Space>;
/** An error with a code: `unauthorized`, `unreachable`, `denied`, `refused`, `invalid` or `unknown`. */
export class MemcrdtError extends Error {
    /** @param {string} code @param {string} message */
    constructor(code: string, message: string);
    code: string;
}
export function ulid(): string;
/** The memories of a space. `open` returns one. */
export class Space {
    /** @param {string} url @param {string} token @param {OpenOptions} options */
    constructor(url: string, token: string, options: OpenOptions);
    /** Connect, and return once all shards are loaded. `open` calls it. @returns {Promise<this>} */
    start(): Promise<this>;
    /** Whether the device has durably stored all that was written here. Other devices may not have it yet. */
    get isSaved(): boolean;
    /** Whether the connection is open and all shards are loaded. */
    get isConnected(): boolean;
    /** The list of shards, and why this client may not write, if so. */
    get shards(): ShardList;
    /** Return a memory, or undefined. It may be expired or superseded. @param {string} id @returns {Memory | undefined} */
    get(id: string): Memory | undefined;
    /** Return all memories, also expired and superseded ones, the oldest first. @returns {Memory[]} */
    list(): Memory[];
    /**
     * Call a function at an event. Returns a function that ends this.
     * @template {keyof Events} E
     * @param {E} event @param {Events[E]} listener @returns {() => void}
     */
    on<E extends keyof Events>(event: E, listener: Events[E]): () => void;
    /** Wait until everything is saved. Rejects when the space stops or refuses something first. @returns {Promise<void>} */
    whenSaved(): Promise<void>;
    /** Add a memory to the shard that is open, and return its id. @param {string} text @param {AddOptions} [options] @returns {string} */
    add(text: string, options?: AddOptions): string;
    /** Give a memory a new text, made from all its heads. @param {string} id @param {string} text */
    edit(id: string, text: string): void;
    /** Add a tag. @param {string} id @param {string} tag */
    tag(id: string, tag: string): void;
    /** Remove a tag. @param {string} id @param {string} tag */
    untag(id: string, tag: string): void;
    /** Set an entry of the metadata. @param {string} id @param {string} key @param {Json} value */
    describe(id: string, key: string, value: Json): void;
    /** Remove an entry of the metadata. @param {string} id @param {string} key */
    undescribe(id: string, key: string): void;
    /** Link a memory to another. @param {string} id @param {string} rel @param {string} to */
    link(id: string, rel: string, to: string): void;
    /** Remove a link. @param {string} id @param {string} rel @param {string} to */
    unlink(id: string, rel: string, to: string): void;
    /** Set an attribute. @param {string} id @param {AttributeName} name @param {Json} value */
    setAttribute(id: string, name: AttributeName, value: Json): void;
    /** Forget a memory permanently: memcrdt removes the rest of it, here and on every device. @param {string} id */
    forget(id: string): void;
    /** Close the connection, and stop persisting. What is not saved by then stays in what was persisted, if anything. */
    close(): Promise<void>;
    #private;
}
export type Json = null | boolean | number | string | unknown[] | {
    [key: string]: unknown;
};
export type Revision = {
    revision: string;
    text: string;
    at: number;
    by: string | null;
    device: string;
    base: string[];
};
export type Link = {
    rel: string;
    to: string;
};
export type AttributeName = "scope" | "kind" | "pinned" | "importance" | "expires_at" | "superseded_by" | "trust" | "imported_from";
/**
 * A memory. Times are milliseconds since 1970.
 */
export type Memory = {
    id: string;
    /**
     * the text of the latest head
     */
    text: string;
    scope: string;
    kind: string | null;
    author: string | null;
    device: string;
    source: string | null;
    created_at: number;
    updated_at: number;
    /**
     * sorted
     */
    tags: string[];
    metadata: Record<string, Json>;
    /**
     * sorted
     */
    links: Link[];
    pinned: boolean;
    importance: number | null;
    expires_at: number | null;
    superseded_by: string | null;
    trust: string | null;
    /**
     * the device that added it before it was imported
     */
    imported_from: string | null;
    /**
     * the texts that no other was made from, the shown one last; several are a conflict
     */
    heads: Revision[];
    /**
     * registers that are not valid
     */
    ignored: number;
};
/**
 * What a new memory has besides its text.
 */
export type AddOptions = {
    /**
     * `global` by default
     */
    scope?: string | undefined;
    kind?: string | null | undefined;
    author?: string | null | undefined;
    source?: string | null | undefined;
    tags?: Iterable<string> | undefined;
    metadata?: Record<string, Json> | undefined;
    links?: Iterable<Link> | undefined;
    pinned?: boolean | undefined;
    /**
     * from 0 to 1
     */
    importance?: number | null | undefined;
    expires_at?: number | null | undefined;
    trust?: string | null | undefined;
};
/**
 * What keeps a document between two visits, such as `IndexeddbPersistence` of y-indexeddb.
 */
export type Persistence = {
    /**
     * resolved when the document has what was kept
     */
    whenSynced?: Promise<unknown> | undefined;
    /**
     * forgets what was kept
     */
    clearData: () => Promise<unknown>;
    /**
     * stops
     */
    destroy: () => unknown;
};
export type OpenOptions = {
    /**
     * the place of writes in the history of a memory; `JavaScript` by default
     */
    device?: string | undefined;
    /**
     * who writes
     */
    by?: string | null | undefined;
    /**
     * keeps the document of a shard
     */
    persist?: ((name: string, doc: Y.Doc) => Persistence) | undefined;
    /**
     * the class to use where there is no global one: `ws` in Node.js before 22
     */
    WebSocket?: any;
};
export type ShardList = {
    space: string;
    open: number;
    read_only: string | null;
    shards: {
        shard: number;
        births: number;
        registers: number;
        bytes: number;
    }[];
};
/**
 * Something in a shard was refused (4400). Nothing more of this copy of the shard is stored.
 */
export type Refusal = {
    /**
     * null if the connection itself was refused
     */
    shard: number | null;
    reason: string;
    /**
     * drops the copy, also the persisted one, loads the shard again,
     * and returns the registers that only the dropped copy had, except those that cannot be stored
     */
    recover: () => Promise<Record<string, Json>>;
};
export type Events = {
    /**
     * these memories have changed, here or elsewhere
     */
    change: (ids: Set<string>) => void;
    /**
     * the device has durably stored all that was written here
     */
    saved: () => void;
    /**
     * another shard is open for new memories, or a shard has begun
     */
    list: (list: ShardList) => void;
    connection: (connected: boolean) => void;
    /**
     * close code 4400
     */
    refused: (refusal: Refusal) => void;
    /**
     * close code 4401 or an HTTP refusal: the space has stopped
     */
    revoked: (reason: string) => void;
    /**
     * "permission denied": writes are not taken
     */
    denied: (reason: string) => void;
};
import * as Y from 'yjs';
