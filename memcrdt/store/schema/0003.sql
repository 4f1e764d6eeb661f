-- Tokens of stock Yjs clients, which have no device key.

CREATE TABLE tokens(
  name       TEXT PRIMARY KEY,
  hash       BLOB NOT NULL,        -- SHA-256 of the secret, which only its user has: 32 random bytes need no salt
  read_only  INTEGER NOT NULL,
  origins    TEXT NOT NULL,        -- JSON list: the web origins whose pages may use it
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE token_spaces(         -- what a token opens
  name  TEXT NOT NULL REFERENCES tokens(name) ON DELETE CASCADE,
  space INTEGER NOT NULL REFERENCES spaces(space) ON DELETE CASCADE,
  PRIMARY KEY(name, space)
) STRICT, WITHOUT ROWID;
