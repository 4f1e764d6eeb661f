"""What memcrdt logs, as a user of the command line sees it."""

from __future__ import annotations

import logging

import pytest

from memcrdt.cli.messages import show_messages

LOG = logging.getLogger("memcrdt.somewhere")


def test_a_warning_is_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """It begins as every message does, once however often messages are asked for, and obeys no escape sequence."""
    show_messages()
    show_messages()
    LOG.warning("%s said \x1b[2J\nthis", "it")
    LOG.info("not shown")
    assert capsys.readouterr() == ("", "memcrdt: it said \\x1b[2J\\nthis\n")


def test_a_bug_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception that goes with a message is shown whole."""
    show_messages()
    try:
        raise AssertionError("lives have no end")
    except AssertionError:
        LOG.exception("a task ended")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("memcrdt: a task ended\nTraceback")
    assert "lives have no end" in err
