-- The relays of a space that the user of this device has added or removed, until a signed list says so (store/membership/relays.py).

CREATE TABLE relay_decisions(
  space  INTEGER NOT NULL REFERENCES spaces(space),
  relay  TEXT NOT NULL,             -- HOST:PORT
  listed INTEGER NOT NULL CHECK(listed IN (0, 1)),
  PRIMARY KEY(space, relay)
) STRICT, WITHOUT ROWID;
