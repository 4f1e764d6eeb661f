-- The user's decisions about members stand apart from what follows from signed statements.

CREATE TABLE invited(              -- devices that the user of this device let into a space; shares follow from these too
  space     INTEGER NOT NULL REFERENCES spaces(space),
  device    TEXT NOT NULL,
  read_only INTEGER NOT NULL,      -- 1: the device may only read
  PRIMARY KEY(space, device)
) STRICT, WITHOUT ROWID;

INSERT INTO invited(space, device, read_only) SELECT space, device, read_only FROM shares WHERE NOT EXISTS(
  SELECT 1 FROM members m WHERE m.space = shares.space AND instr(m.statement, CAST(shares.device AS BLOB)) > 0
);

ALTER TABLE peers ADD COLUMN derived INTEGER NOT NULL DEFAULT 0;  -- 1: known only as a member, by signed statements
