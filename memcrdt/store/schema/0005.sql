-- Devices that the user has removed from a space and no signed statement revokes yet. Their shares must not come back
-- (store/membership/members.py).

CREATE TABLE withdrawn(
  space  INTEGER NOT NULL REFERENCES spaces(space),
  device TEXT NOT NULL,
  PRIMARY KEY(space, device)
) STRICT, WITHOUT ROWID;
