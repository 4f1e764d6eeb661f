"""All limits of the data model. Sizes in bytes are sizes of UTF-8 or of the encoded form."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# One memory. A larger text is a document: import it as several memories.
TEXT_BYTES: Final = 64 * KIB
TAGS: Final = 64
TAG_CHARS: Final = 128
METADATA_BYTES: Final = 8 * KIB  # as compact JSON
METADATA_KEYS: Final = 64
METADATA_KEY_CHARS: Final = 128
METADATA_DEPTH: Final = 16
LINKS: Final = 64
SCOPE_NAME_CHARS: Final = 200
PREFIX_CHARS: Final = 4  # that name a device, a space or a memory: fewer are too easily those of another one later
NAME_CHARS: Final = 200  # of a device or a space, as other devices see it
LABEL_CHARS: Final = 256  # kind, author, device, trust, the name of a relation
SOURCE_CHARS: Final = 2 * KIB  # an address or a path
KEY_CHARS: Final = 1 * KIB
REVISIONS: Final = 64
BASES: Final = 64  # heads that one revision can name; a memory with more keeps the latest

# One call.
BATCH_ITEMS: Final = 100_000
QUERY_CHARS: Final = 8 * KIB
RESULTS: Final = 1_000
FILTER_VALUES: Final = 1_000
VECTOR_DIMENSIONS: Final = 65_536

# One transaction of a call that adds or changes many memories: other writers wait for it, about a tenth of a second.
TRANSACTION_ITEMS: Final = 500  # added
TRANSACTION_CHANGES: Final = 200  # changed: each takes twice as long
TRANSACTION_BYTES: Final = 2 * MIB  # of texts, with one more text

# One shard. These limits decide which shard gets a new memory. A document that exceeds them is valid.
SHARD_BIRTHS: Final = 256
SHARD_REGISTERS: Final = 4_096
SHARD_BYTES: Final = 1 * MIB
SHARD_CLIENTS: Final = 1_024
SHARDS: Final = 1 << 20

# What other devices and clients may make of a shard. Our own changes are not limited: at half of these limits they go
# to another shard. A shard of 256 memories with 64 revisions each takes a quarter of the memory.
SHARD_CLIENTS_MAX: Final = 16_384
SHARD_MEMORY_MAX: Final = 128 * MIB  # as crdt/scan.py counts it: up to twice the memory that Yjs takes
SHARDS_AHEAD: Final = 256  # a new shard has a number below the number of shards that exist here, plus this

# Bytes from outside.
UPDATE_BYTES: Final = 16 * MIB
REGISTER_BYTES: Final = 256 * KIB  # key and value; a birth with every field at its limit has 85 KiB
UPDATE_CLIENTS: Final = 65_536
UPDATE_BLOCKS: Final = 1 << 20
UPDATE_CLOCK: Final = 1 << 31
VALUE_DEPTH: Final = 64
STATE_VECTOR_BYTES: Final = 1 * MIB
CLIENT_ID_MAX: Final = (1 << 53) - 1  # above it Yjs loses bits

# A store file from elsewhere.
ROW_BYTES: Final = 256 * MIB
SNAPSHOT_PIECE_BYTES: Final = 32 * MIB  # unpacked; we write pieces of 1 MiB, and one value has at most 16 MiB

# Milliseconds since 1970, up to the end of the year 9999, the last year that datetime supports.
TIME_MAX_MS: Final = 253_402_300_799_999
INTEGER_MAX: Final = (1 << 53) - 1  # JSON numbers are doubles to a JavaScript reader
