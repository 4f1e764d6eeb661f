"""Spaces: what is shared with whom. Each has an id that only its members know, and a name that it has here."""

from __future__ import annotations

from typing import Self

from memcrdt.errors import InputError
from memcrdt.model.checks import check_label
from memcrdt.model.secrets import check_no_secret
from memcrdt.store import digests, meta
from memcrdt.store.changes import space_number
from memcrdt.store.members import Members
from memcrdt.store.store import Store


class Space:
    """One space of a Memory, by its local name. All but `create` raise NotFoundError when it is not here."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = check_label(name, "the name of the space")

    def create(self) -> Self:
        """Makes the space. Raises InputError when there is one of that name."""
        if not self.name.isprintable() or self.name != self.name.strip():
            raise InputError(f"the name {self.name!r} can't be typed; take printable characters without spaces around")
        check_no_secret(self.name)
        with self._store.writing() as db:
            if db.execute("SELECT 1 FROM spaces WHERE name = ?", (self.name,)).get is not None:
                raise InputError(f"there is a space called {self.name!r} here already; take another name")
            meta.add_space(db, self.name, self._store.device, self._store.now_ms(), self._store.options.random)
        return self

    def id(self) -> str:
        """52 characters, the same on every device that has the space."""
        with self._store.reading() as db:
            return str(db.execute("SELECT id FROM spaces WHERE space = ?", (space_number(db, self.name),)).get)

    def leave(self) -> None:
        """Shares it with nobody any more; what is in it stays here, under another id. Others list this device until one
        of them revokes it. Raises InputError for `local`."""
        Members(self._store).leave(self.name)

    def members(self) -> tuple[str, ...]:
        """The ids of the devices that have it, this one first."""
        with self._store.reading() as db:
            sql = "SELECT device FROM shares WHERE space = ? ORDER BY device"
            others = db.execute(sql, (space_number(db, self.name),)).fetchall()
        return (self._store.device, *(str(device) for (device,) in others))

    def digest(self) -> str:
        """Hexadecimal; equal on devices that hold the same of it."""
        with self._store.reading() as db:
            number = space_number(db, self.name)
        return digests.whole(digests.of_space(self._store, number))
