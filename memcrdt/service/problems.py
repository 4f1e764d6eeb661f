"""Problems as data: every face reports an error with the same code, reason and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memcrdt.errors import (
    CorruptError,
    DiskFullError,
    EmbedderError,
    InputError,
    LockedError,
    MemcrdtError,
    ModelMissingError,
    NotFoundError,
    PairingError,
    PeerError,
    ProtocolError,
    ReadOnlyError,
    SchemaError,
    SecretError,
    StaleRevisionError,
    StoreError,
    UnreachableError,
    UntrustedPeerError,
)
from memcrdt.model.serialization import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Record):
    """Why a call failed. Nothing was changed.

    Attributes:
        code: A stable name of the kind of problem, for programs.
        reason: What happened, to what.
        remedy: The next step.
    """

    code: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.code}). {self.remedy}"


class ConfirmationError(InputError):
    """A call would forget more than one memory, and nobody has confirmed that.

    Attributes:
        count: The number of memories that would be forgotten.
        confirm: The value of `confirm` that allows exactly these memories to be forgotten.
    """

    def __init__(self, count: int, confirm: str) -> None:
        super().__init__(f"this would forget {count:,} memories on every device; nothing is forgotten yet")
        self.count = count
        self.confirm = confirm


# The first class that fits decides, so subclasses stand before their base.
_KINDS: Final[tuple[tuple[type[MemcrdtError], str, str], ...]] = (
    (ConfirmationError, "confirmation_required", "Show the user what would be forgotten, then repeat the call with"),
    (
        SecretError,
        "secret_refused",
        "Leave the secret out. Only the user can allow it, in Python or on the command line.",
    ),
    (InputError, "invalid_input", "Correct the argument and repeat the call."),
    (NotFoundError, "not_found", "Search or list to get an id that exists. The memory may have been forgotten."),
    (StaleRevisionError, "stale_revision", "Read the memory again, and repeat the change on what is there now."),
    (ReadOnlyError, "read_only", "Use a device, a space or a token that may do this."),
    (LockedError, "locked", "Try again in a moment. Another process is writing."),
    (CorruptError, "corrupt", "Run `memcrdt doctor` and follow what it says."),
    (SchemaError, "wrong_schema", "Update memcrdt, or name the right folder with --home."),
    (DiskFullError, "disk_full", "Free some space on the disk and repeat the call."),
    (StoreError, "store_failed", "Run `memcrdt doctor`."),
    (UntrustedPeerError, "untrusted_device", "Pair the devices with `memcrdt pair`."),
    (UnreachableError, "unreachable", "Check that memcrdt is serving on the other device."),
    (PairingError, "not_paired", "Start the pairing again on both devices."),
    (PeerError, "device_failed", "Run `memcrdt status` to see the state of the devices."),
    (ProtocolError, "protocol_broken", "Update memcrdt on both devices."),
    (ModelMissingError, "model_missing", "Run `memcrdt model list` to see the models and how to get one."),
    (EmbedderError, "embedder_failed", "Search by words goes on. Run `memcrdt status` for the state of the model."),
)


def problem_of(error: MemcrdtError) -> Problem:
    """Return the problem that an exception of memcrdt means.

    Example:
        >>> problem_of(NotFoundError("no memory has the id 01J…")).code
        'not_found'
    """
    for kind, code, remedy in _KINDS:
        if isinstance(error, kind):
            confirm = f' confirm="{error.confirm}".' if isinstance(error, ConfirmationError) else ""
            return Problem(code=code, reason=str(error), remedy=remedy + confirm)
    return Problem(code="failed", reason=str(error), remedy="Run `memcrdt status`.")


def remedy_of(code: str) -> str | None:
    """Return the next step after any problem of this code, or None if no exception has it."""
    remedies = {code: remedy for _, code, remedy in _KINDS}
    confirm = " the `confirm` of the answer." if code == "confirmation_required" else ""
    return remedies[code] + confirm if code in remedies else None
