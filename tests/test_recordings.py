"""The pictures in docs are what memcrdt shows, and what their scripts draw."""

from __future__ import annotations

import os
import re
import runpy
import shutil

import pytest

from tests.code_blocks import name_of, pages
from tests.recordings import PICTURES, draw, record, steady, text_of

SHELL = os.name == "nt" or shutil.which("bash") is None


@pytest.mark.timeout(360)  # some twenty processes one after the other: ten seconds of processor time
@pytest.mark.skipif(SHELL, reason="the sessions run in bash on a pseudo-terminal")
def test_the_recordings_are_what_memcrdt_prints() -> None:
    """If it fails because the output has changed on purpose: python -m tests.recordings"""
    for name, text in record().items():
        assert steady(text) == steady(text_of(PICTURES / f"{name}.svg"))


@pytest.mark.parametrize("name", ["pairing", "conflict"])
def test_a_picture_shows_its_text(name: str) -> None:
    """Every word of the text, and no font or other file of another host."""
    picture = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    drawn = draw(text_of(PICTURES / f"{name}.svg"))
    words = re.compile(r"<text[^>]*>([^<]*)</text>")
    assert words.findall(picture) == words.findall(drawn)
    assert re.findall(r"url\((?!#)|href=", picture) == []


def test_the_architecture_is_drawn_by_its_script() -> None:
    """If it fails: python docs/pictures/architecture.py"""
    script = runpy.run_path(str(PICTURES / "architecture.py"))
    assert script["PICTURE"].read_text(encoding="utf-8") == script["draw"]()


def test_every_picture_is_on_a_page() -> None:
    """A picture that no page shows is forgotten."""
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    assert [name_of(picture) for picture in PICTURES.glob("*.svg") if f"pictures/{picture.name})" not in text] == []
