-- The network: the members of spaces, their rights, the statements behind them, and when two devices last agreed.

ALTER TABLE shares ADD COLUMN agreed_at INTEGER;                     -- ms: when both last held the same of the space
ALTER TABLE shares ADD COLUMN read_only INTEGER NOT NULL DEFAULT 0;  -- 1: the device only takes
ALTER TABLE spaces ADD COLUMN read_only INTEGER NOT NULL DEFAULT 0;  -- 1: so do we

CREATE TABLE members(              -- signed statements, see store/membership/members.py: shares and peers follow from them
  space     INTEGER NOT NULL REFERENCES spaces(space),
  id        BLOB NOT NULL,         -- hash of the statement, 16 bytes
  statement BLOB NOT NULL,
  PRIMARY KEY(space, id)
) STRICT, WITHOUT ROWID;
