"""Binary codes: 768 bits per vector, whose Hamming distances order vectors roughly as angles do.

Codes find candidates, and the exact vectors decide among them. A code has the signs of the vector's projections on the
rows of Hadamard matrices with flipped columns. This is a random rotation made of signs alone, the same on every
machine. On 100,000 texts with the static model, the 1,000 nearest codes include 99.1 % of the ten nearest vectors, and
the 1,500 nearest 99.6 % (docs/internals/search-index.md).
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BITS = 768
BYTES = BITS // 8
WORDS = BITS // 64
_STEPS: Final = 1 << 17  # steps in 1.0 of an element: a sum of 4,096 elements has 24 bits, which fit into float32
_COARSER: Final = 1 << 5  # divides the projections, because all BITS of them are summed
# Rows encoded at once, and rows compared at once: the values in between fit into the cache.
_ROWS: Final = 128
_CHUNK: Final = 65_536
_MANY: Final = 16  # rows from which on it is faster to have the same element of all rows side by side


def encode(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the codes, [n, BYTES], of unit vectors [n, dim]. They are the same on every machine."""
    import numpy as np

    parts = [code_of(projected(vectors[start : start + _ROWS])) for start in range(0, len(vectors), _ROWS)]
    return np.concatenate(parts) if parts else np.empty((0, BYTES), np.uint8)


def code_of(projections: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the codes, [..., BYTES], of projections [..., BITS]."""
    import numpy as np

    return np.packbits(projections > 0, axis=-1)


def similarities(codes: NDArray[np.uint64], projections: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the similarity, [n], of codes [WORDS, n] to the projections [BITS] of a vector, not rounded to bits.

    It orders better than Hamming distances. It is the sum, over the bits of a code, of plus or minus the projections
    of the vector, read from a table byte by byte.
    """
    import numpy as np

    table = np.rint(projections / np.float32(_COARSER)).reshape(BYTES, 8) @ _byte_signs()  # [BYTES, 256]
    content = np.ascontiguousarray(codes.T).view(np.uint8)
    similar: NDArray[np.float32] = table.take(content + np.arange(0, 256 * BYTES, 256)).sum(axis=1)
    return similar


def distances(codes: NDArray[np.uint64], code: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return the Hamming distances, [n], of codes [WORDS, n] to one code [BYTES]."""
    import numpy as np

    wanted = code.view(np.uint64)
    out = np.empty(codes.shape[1], np.uint16)
    for start in range(0, len(out), _CHUNK):
        part = codes[:, start : start + _CHUNK]
        total = np.bitwise_count(part[0] ^ wanted[0]).astype(np.uint16)
        for row in range(1, WORDS):
            total += np.bitwise_count(part[row] ^ wanted[row])
        out[start : start + _CHUNK] = total
    return out


def projected(vectors: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the projections, [..., BITS], of unit vectors [..., dim], in steps of 1 / 131,072.

    They are whole numbers, so their sums do not depend on the order of addition. A matrix library rounds differently by
    processor and by row, so equal texts would get different codes. It would also wake its threads for each memory.
    """
    import numpy as np

    dim = vectors.shape[-1]
    size = 1 << (dim - 1).bit_length()
    steps = np.zeros((*vectors.shape[:-1], 1, size), np.int32)
    steps[..., 0, :dim] = np.rint(vectors * np.float32(_STEPS))
    rotated = _hadamard(steps * _signs(size))
    return rotated.reshape(*vectors.shape[:-1], -1)[..., :BITS]


def _hadamard(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Multiply each row, [..., a power of two], with the Hadamard matrix of that size.

    Each step interleaves the sums and the differences of the two halves (Pease, 1968).
    """
    import numpy as np

    size = rows.shape[-1]
    half = size // 2
    columns = rows.reshape(-1, size).T
    if columns.shape[1] >= _MANY:
        columns = np.ascontiguousarray(columns)
    for _ in range(half.bit_length()):
        one, other = columns[:half], columns[half:]
        columns = np.empty_like(columns)
        np.add(one, other, out=columns[0::2])
        np.subtract(one, other, out=columns[1::2])
    return np.ascontiguousarray(columns.T).reshape(rows.shape)


@cache
def _byte_signs() -> NDArray[np.float32]:
    """Return the signs, [8, 256], that the bits of each byte stand for."""
    import numpy as np

    return np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0).astype(np.float32) * 2 - 1


@cache
def _signs(size: int) -> NDArray[np.int32]:
    """Return which columns are flipped, [bases, size], for as many bases as BITS need."""
    import numpy as np

    bases = range(-(-BITS // size))
    flipped = b"".join(hashlib.shake_256(b"memcrdt codes %d" % basis).digest(-(-size // 8)) for basis in bases)
    bits = np.unpackbits(np.frombuffer(flipped, np.uint8).reshape(len(bases), -1), axis=1)
    return bits[:, :size].astype(np.int32) * 2 - 1
