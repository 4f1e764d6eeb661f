"""Device ids as people read and type them."""

from __future__ import annotations

from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.model.device_ids import device_id, parse_device_id, shown

DEVICE = device_id(b"\1" * 32)


def test_a_device_id_is_shown_in_eight_groups_of_seven() -> None:
    """The groups have 52 characters and four check characters."""
    groups = shown(DEVICE).split("-")
    assert [len(group) for group in groups] == [7] * 8


@pytest.mark.parametrize(
    "text", [DEVICE, shown(DEVICE), shown(DEVICE).lower(), shown(DEVICE).replace("-", " "), f"  {DEVICE}\n"]
)
def test_both_forms_of_an_id_are_parsed(text: str) -> None:
    """Case, dashes and blanks do not matter."""
    assert parse_device_id(text) == DEVICE


def test_an_error_names_the_groups_of_a_mistyped_character() -> None:
    """Luhn mod 32 catches all 56 x 31 replacements."""
    text = shown(DEVICE).replace("-", "")
    for position, right in enumerate(text):
        part = position // 14
        for wrong in set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") - {right}:
            with pytest.raises(InputError, match=f"groups {2 * part + 1} and {2 * part + 2}"):
                parse_device_id(text[:position] + wrong + text[position + 1 :])


@pytest.mark.parametrize(
    "text", ["", "laptop", DEVICE[:-1], f"{DEVICE}A", f"{DEVICE[:-1]}B", f"{DEVICE[:-1]}1", None, 7]
)
def test_an_invalid_device_id_is_refused(text: Any) -> None:
    """The length, the alphabet and the unused bits of the last character are checked."""
    with pytest.raises(InputError):
        parse_device_id(text)
