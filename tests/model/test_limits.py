"""The limits and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

from memcrdt.model import limits

DOCS = Path(__file__).parents[2] / "docs" / "limits.md"


def test_every_limit_is_documented_with_its_value() -> None:
    """docs/limits.md has every limit and no others."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d,]+) \|", DOCS.read_text("utf-8"), re.MULTILINE)
    documented = {name: int(value.replace(",", "")) for name, value in rows}
    units = {"KIB", "MIB"}
    known = {name: value for name, value in vars(limits).items() if name.isupper() and name not in units}
    assert documented == known
