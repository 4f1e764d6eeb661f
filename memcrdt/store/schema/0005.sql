-- Whom the user has taken out of a space: no share comes back, and a signed statement follows (store/membership/members.py).

CREATE TABLE withdrawn(
  space  INTEGER NOT NULL REFERENCES spaces(space),
  device TEXT NOT NULL,
  PRIMARY KEY(space, device)
) STRICT, WITHOUT ROWID;
