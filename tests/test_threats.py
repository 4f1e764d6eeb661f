"""The threat model names tests, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGES = (TESTS.parent / "docs" / "threats").glob("*.md")


def test_every_test_that_the_threat_model_names_exists() -> None:
    """A promise whose test was renamed or deleted would be a promise without proof."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`(?=,| \|$)", text, re.MULTILINE)
    assert len(named) > 70
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (TESTS / file).exists() or (test and f"def {test}(" not in (TESTS / file).read_text("utf-8"))
    ]
    assert missing == []
