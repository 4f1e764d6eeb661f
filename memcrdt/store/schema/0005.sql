-- Devices that the user has taken out of a space, before a signed statement says so: their shares do not come back
-- (store/membership/members.py).

CREATE TABLE withdrawn(
  space  INTEGER NOT NULL REFERENCES spaces(space),
  device TEXT NOT NULL,
  PRIMARY KEY(space, device)
) STRICT, WITHOUT ROWID;
