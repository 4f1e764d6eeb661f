"""Every transcript in the documents is what memcrdt prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.code_blocks import blocks, name_of, pages
from tests.transcripts import PROMPT, alike, commands_of, documents, run, transcripts

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a transcript runs in sh on a pseudo-terminal")


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_a_transcript_is_what_memcrdt_prints(document: Path) -> None:
    """If it fails because the output has changed on purpose: python -m tests.transcripts"""
    written = transcripts(document)
    assert alike("".join(run(written))) == alike("".join(written))


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_a_transcript_runs_memcrdt_alone(document: Path) -> None:
    """Other programs need not be here."""
    commands = [command for block in transcripts(document) for command in commands_of(block)]
    assert [command for command in commands if not command.startswith("memcrdt")] == []


def test_no_transcript_is_hidden_in_another_block() -> None:
    """A line that begins with `$ ` is in a block that is run."""
    for document in pages():
        others = [block.code for block in blocks(document) if block.language != "console"]
        assert [line for code in others for line in code.splitlines() if line.startswith(PROMPT)] == [], document.name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("@1  01M8KR2MRRNRHRMAN4PZT3ZKH4  1 s ago   x\n", "@1 01M8KR2MRRNRHRMAN4PZT3ZKHX  12 min ago  x", True),
        ("size\t258 kB", "size\t1.4 MB", True),
        ("at 2026-11-29 13:31 (2 s ago)", "at 2027-01-01 00:00 (just now)", True),
        ("2 memories", "3 memories", False),
        ("forgotten", "forgot", False),
    ],
)
def test_only_ids_times_and_sizes_may_differ(one: str, other: str, same: bool) -> None:
    """Everything else is compared."""
    assert (alike(one) == alike(other)) == same
