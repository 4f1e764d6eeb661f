-- Times are in milliseconds since 1970, UTC. `space` and `shard` are local numbers and never leave the machine.

CREATE TABLE meta(                 -- incarnation, boot, client_id, device, alarms: see store/meta.py
  key   TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE spaces(
  space      INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE, -- what members call it: a hash of creator and nonce
  name       TEXT NOT NULL UNIQUE, -- what it is called here; 'local' never leaves the machine
  creator    TEXT NOT NULL,        -- device id
  nonce      BLOB NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE shards(               -- one Yjs document each
  shard        INTEGER PRIMARY KEY,
  space        INTEGER NOT NULL REFERENCES spaces(space),
  number       INTEGER NOT NULL,   -- its name within the space: 0, 1, 2...; the same on every device
  births       INTEGER NOT NULL DEFAULT 0,  -- memories ever born in it, forgotten ones too
  registers    INTEGER NOT NULL DEFAULT 0,
  foreign_keys INTEGER NOT NULL DEFAULT 0,  -- of those registers, the ones of no memory
  bytes        INTEGER NOT NULL DEFAULT 0,  -- of its snapshot, unpacked, and the log behind it
  log_rows     INTEGER NOT NULL DEFAULT 0,  -- updates behind the snapshot
  log_bytes    INTEGER NOT NULL DEFAULT 0,  -- of those
  head         INTEGER NOT NULL DEFAULT 0,  -- seq of its last update
  state_vector BLOB NOT NULL DEFAULT x'00', -- at head, in Yjs' encoding
  digest       BLOB,               -- canonical digest at head, or NULL: not computed yet
  to_scrub     INTEGER NOT NULL DEFAULT 0,  -- the last row that left bytes of something forgotten in the file, or 0
  forgotten    INTEGER NOT NULL DEFAULT 0,  -- the same, and stays when they are scrubbed
  damaged      INTEGER NOT NULL DEFAULT 0,  -- 1: rows were set aside, and what builds on them may wait in the log
  UNIQUE(space, number)
) STRICT;

CREATE TABLE updates(              -- the log
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,  -- never restarts
  shard    INTEGER NOT NULL REFERENCES shards(shard),
  bytes    BLOB NOT NULL,          -- a Yjs update, v1 encoding
  checksum BLOB NOT NULL,          -- BLAKE2b, 8 bytes, over shard and bytes
  origin   TEXT NOT NULL,          -- 'local', or the device it came from
  at       INTEGER NOT NULL
) STRICT;
CREATE INDEX updates_by_shard ON updates(shard, seq);

CREATE TABLE snapshots(            -- a shard's log up to and with seq, folded
  shard    INTEGER PRIMARY KEY REFERENCES shards(shard),
  seq      INTEGER NOT NULL,
  bytes    BLOB NOT NULL,          -- Yjs updates, v1 encoding: each packed by zlib, one behind the other
  checksum BLOB NOT NULL           -- as in updates
) STRICT;

CREATE TABLE damaged(              -- rows of the log and snapshots that are not what was written, set aside by doctor
  id    INTEGER PRIMARY KEY,
  shard INTEGER NOT NULL,
  seq   INTEGER NOT NULL,
  kind  TEXT NOT NULL CHECK(kind IN ('update', 'snapshot')),
  bytes BLOB NOT NULL,
  at    INTEGER NOT NULL           -- when it was set aside
) STRICT;

CREATE TABLE quarantine(           -- updates that were refused; bounded, see store/quarantine.py
  id     INTEGER PRIMARY KEY,
  space  INTEGER NOT NULL,
  shard  INTEGER NOT NULL,         -- the number
  origin TEXT NOT NULL,
  reason TEXT NOT NULL,
  bytes  BLOB NOT NULL,
  at     INTEGER NOT NULL
) STRICT;

CREATE TABLE peers(                -- devices that we know, by any way
  device     TEXT PRIMARY KEY,     -- its id, 52 characters
  name       TEXT,                 -- what it is called here
  state      TEXT NOT NULL CHECK(state IN ('accepted', 'pending', 'revoked')),  -- pending: it knocked
  public_key BLOB,
  addresses  TEXT NOT NULL DEFAULT '[]',  -- JSON: "host:port", newest first, at most 8
  added_at   INTEGER NOT NULL,
  seen_at    INTEGER,              -- last authenticated contact
  connected  TEXT,                 -- JSON {via, address, since} while a serving process holds a connection
  error      TEXT,                 -- the last one, in plain words
  error_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE shares(               -- which device takes part in which space
  space  INTEGER NOT NULL REFERENCES spaces(space),
  device TEXT NOT NULL,
  PRIMARY KEY(space, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipts(             -- the peer holds, durably, what the shard held here at row seq
  device   TEXT NOT NULL,
  shard    INTEGER NOT NULL REFERENCES shards(shard),
  seq      INTEGER NOT NULL,
  scrubbed INTEGER NOT NULL,       -- and no byte of what was forgotten in it here by this row
  at       INTEGER NOT NULL,
  PRIMARY KEY(device, shard)
) STRICT, WITHOUT ROWID;

-- Views: the meaning of the registers. memcrdt/model/projection.py defines it; store/views.py writes them.

CREATE TABLE homes(                -- the shards that hold any register of an ID, valid or not
  space INTEGER NOT NULL,
  id    TEXT NOT NULL,
  shard INTEGER NOT NULL,
  PRIMARY KEY(space, id, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE memories(
  memory        INTEGER PRIMARY KEY,  -- local number: the rowid of the indexes
  space         INTEGER NOT NULL,
  id            TEXT NOT NULL,
  text          TEXT NOT NULL,
  revision      TEXT NOT NULL,     -- which revision the text is; the ID itself for the birth
  conflicted    INTEGER NOT NULL,
  scope         TEXT NOT NULL,
  category      TEXT NOT NULL,
  kind          TEXT,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  expires_at    INTEGER,
  superseded_by TEXT,
  pinned        INTEGER NOT NULL,
  importance    REAL,
  author        TEXT,
  device        TEXT NOT NULL,
  source        TEXT,
  trust         TEXT,
  ignored       INTEGER NOT NULL,  -- registers that make no sense
  fingerprint   INTEGER NOT NULL,  -- of the text: 64 bits of BLAKE2b, for finding equal ones
  born_seq      INTEGER NOT NULL,  -- the log row that made it appear here
  seq           INTEGER NOT NULL,  -- the log row that changed it last
  UNIQUE(id, space)
) STRICT;
CREATE INDEX memories_by_created ON memories(created_at, id);
CREATE INDEX memories_by_scope ON memories(scope, created_at, id);
CREATE INDEX memories_by_fingerprint ON memories(fingerprint);
CREATE INDEX memories_by_seq ON memories(seq);
CREATE INDEX memories_by_expiry ON memories(expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE revisions(            -- of memories that have had more than one text; else the memory is its own
  memory   INTEGER NOT NULL,
  revision TEXT NOT NULL,
  text     TEXT NOT NULL,
  at       INTEGER NOT NULL,
  by       TEXT,
  device   TEXT NOT NULL,
  base     TEXT NOT NULL,          -- JSON list
  head     INTEGER NOT NULL,
  PRIMARY KEY(memory, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags(
  memory INTEGER NOT NULL,
  tag    TEXT NOT NULL,
  PRIMARY KEY(memory, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags(tag, memory);

CREATE TABLE metadata(
  memory INTEGER NOT NULL,
  key    TEXT NOT NULL,
  value  TEXT NOT NULL,            -- canonical JSON
  number REAL,                     -- for ranges: the value, if it is a number
  PRIMARY KEY(memory, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX metadata_by_value ON metadata(key, value);
CREATE INDEX metadata_by_number ON metadata(key, number) WHERE number IS NOT NULL;

CREATE TABLE links(
  memory INTEGER NOT NULL,
  rel    TEXT NOT NULL,
  target TEXT NOT NULL,            -- the other memory's ID
  PRIMARY KEY(memory, rel, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_target ON links(target);

CREATE TABLE graves(               -- what was forgotten
  space  INTEGER NOT NULL,
  id     TEXT NOT NULL,
  at     INTEGER NOT NULL,         -- 0: unknown
  by     TEXT,
  device TEXT,
  seq    INTEGER NOT NULL,
  PRIMARY KEY(space, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX graves_by_seq ON graves(seq);
