"""A member that was taken over, and its second key: a device that only this member lets into the space.

The thief prepares for its revocation. It adds a helper key openly, which states that it keeps the add of the second
key, which nobody has heard of. Later the second key arrives, with a revocation of the thief that keeps it, too.
"""

from __future__ import annotations

from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.statements import Statement
from memcrdt.store.membership.members import Members
from tests.campaigns.computer import Computer
from tests.campaigns.hostile import HostileComputer, TakenOverComputer, new_identity, signed
from tests.campaigns.machine import Site


class SecondKey(TakenOverComputer):
    """The second key, on a computer of its own.

    Args:
        site: The simulator and the folder.
        thief: The member that lets it in.
    """

    def __init__(self, site: Site, thief: HostileComputer) -> None:
        super().__init__(site, "Y")
        self.thief = thief
        self._helper = new_identity(self._rng)
        self._nobody = device_id(self._rng.randbytes(KEY_BYTES))

    def prepare(self) -> None:
        """Let the thief add the helper, whose statements keep an add that nobody has heard of."""
        space = self.thief.space(PERSONAL)
        add = signed(self.thief.identity, "add", space, self._helper.device_id)
        keeping = signed(self._helper, "revoke", space, self._nobody, keep=(self._add(space).id,))
        self.thief.state([add, keeping])

    def arrive(self, *, openly: bool) -> None:
        """Join the space, with or without telling the thief's neighbors before."""
        self.boot()
        entry = Members(self.thief.memory.store).entries([PERSONAL])[0]
        Members(self.memory.store).join(entry)
        add = self._add(entry.id)
        said = [add] if self.thief.creator(PERSONAL) == self.thief.id else [add, self._revocation(add)]
        known = Members(self.thief.memory.store).roll(entry.id)[1]
        Members(self.memory.store).learn(entry.id, [*known, add.packed()])
        self.state(said)
        if openly:
            self.thief.state([add])

    def is_out_at(self, computer: Computer, honest: set[str]) -> bool:
        """Return whether an honest computer has revoked the thief without keeping this key, as the computer knows."""
        said = computer.statements(PERSONAL)
        revocations = [each for each in said if _is_revocation(each, self.thief.id) and each.by in honest]
        # The thief can add the key more than once: openly, and when it demotes everybody.
        adds = {self._add(computer.space(PERSONAL)).id}
        adds |= {each.id for each in said if each.by == self.thief.id and each.claim.device == self.id}
        return bool(revocations) and all(adds.isdisjoint(each.claim.keep) for each in revocations)

    def _add(self, space: str) -> Statement:
        return signed(self.thief.identity, "add", space, self.id)

    def _revocation(self, add: Statement) -> Statement:
        return signed(self.identity, "revoke", add.claim.space, self.thief.id, keep=(add.id,))


def _is_revocation(statement: Statement, device: str) -> bool:
    return (statement.claim.kind, statement.claim.device) == ("revoke", device)
