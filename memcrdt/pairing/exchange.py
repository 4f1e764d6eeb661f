"""The key exchange of pairing: SPAKE2 over the code, without I/O.

SPAKE2 is used in the version before RFC 9382 that the package `spake2` implements.

It runs on a connection on which both devices have proven their keys, each by a signature over the channel binding that
it sees (memcrdt/net/auth.py). These keys and the nonces are inputs of the shared key, together with the code. So a
relay between the two devices, with its own keys, has one guess at the code and learns nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError

from memcrdt.errors import RemoteProtocolError

if TYPE_CHECKING:
    from memcrdt.net.auth import AuthenticatedPeer
    from memcrdt.pairing.codes import Code

MESSAGE_BYTES: Final = 33
PROOF_BYTES: Final = 32
_TAG: Final = b"memcrdt.1 pairing "

Role: TypeAlias = Literal["inviter", "joiner"]


class CodeExchange:
    """One side of one attempt. The inviter is the listener of the connection with `peer`, the joiner its dialer."""

    def __init__(self, role: Role, code: Code, own_key: bytes, peer: AuthenticatedPeer) -> None:
        inviter, joiner = (own_key, peer.public_key) if role == "inviter" else (peer.public_key, own_key)
        sides = {
            "idA": _TAG + b"joiner" + joiner + peer.dialer_nonce,
            "idB": _TAG + b"inviter" + inviter + peer.listener_nonce,
        }
        self._role = role
        self._spake = (SPAKE2_B if role == "inviter" else SPAKE2_A)(code.secret, **sides)
        self._key = b""
        self.message: bytes = self._spake.start()

    def finish(self, message: bytes) -> None:
        """Compute the shared key from the other side's message. Raises RemoteProtocolError for a malformed message."""
        try:
            self._key = self._spake.finish(message)
        except (SPAKEError, ValueError, AssertionError) as exc:  # spake2 checks the point by assertions
            raise RemoteProtocolError("the other device sent an invalid SPAKE2 message") from exc

    def proof(self) -> bytes:
        """Return the proof that we have the code."""
        return self._mac(self._role)

    def proves(self, proof: bytes) -> bool:
        """Return whether the other side's proof shows that it has the code."""
        return hmac.compare_digest(proof, self._mac("joiner" if self._role == "inviter" else "inviter"))

    def _mac(self, role: Role) -> bytes:
        return hmac.new(self._key, _TAG + role.encode(), hashlib.sha256).digest()
