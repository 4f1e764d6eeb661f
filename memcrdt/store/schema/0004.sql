-- The network: the members of spaces, their rights, their signed statements, and when two devices last agreed.

ALTER TABLE shares ADD COLUMN agreed_at INTEGER;                     -- ms: when the content of the space was last equal
ALTER TABLE shares ADD COLUMN read_only INTEGER NOT NULL DEFAULT 0;  -- 1: the device may only read
ALTER TABLE spaces ADD COLUMN read_only INTEGER NOT NULL DEFAULT 0;  -- 1: this device may only read

CREATE TABLE members(              -- signed statements, see store/membership/members.py: shares and peers follow from them
  space     INTEGER NOT NULL REFERENCES spaces(space),
  id        BLOB NOT NULL,         -- hash of the statement, 16 bytes
  statement BLOB NOT NULL,
  PRIMARY KEY(space, id)
) STRICT, WITHOUT ROWID;
