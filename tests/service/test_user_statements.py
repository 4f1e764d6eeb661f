"""Statements of a user that matter in other sessions, and chatter that does not."""

from __future__ import annotations

import time

import pytest

from memcrdt.service.user_statements import statements

TAKEN = {
    "Never deploy on Fridays.": "preference",
    "Please always run the linter before you commit.": "preference",
    "I prefer short commit messages without a body": "preference",
    "From now on, name branches after the ticket.": "preference",
    "We decided to use SQLite instead of Postgres.": "decision",
    "Let's go with the queue in Redis for now": "decision",
    "We'll keep the old endpoint until the mobile release.": "decision",
    "Decision: billing stays in its own service.": "decision",
    "No, the staging server is in Frankfurt, not in Paris.": "correction",
    "Actually the token has to be renewed every hour.": "correction",
    "The staging server is restarted every night.": "",
    "Don't use mocks in the integration tests.": "correction",
    "I told you the config lives in the deploy folder.": "correction",
    "Remember that the export job needs two gigabytes.": "fact",
    "For the record: support answers on weekdays only.": "fact",
}
CHATTER = [
    "Can you fix the failing test?",
    "Should we always use tabs in this project?",
    "no",
    "No, the other one.",
    "that's wrong",
    "I want a button in the header that opens the settings.",
    "It never works when the cache is cold.",
    "please always",
    "2026-11-29 12:00:01 WARN we decided to drop the packet",
    "    we decided to use four spaces in this code",
    "> Never deploy on Fridays, they wrote",
    "$ echo never deploy on Fridays again",
    "We decided " + "to think about it and " * 20,
]


@pytest.mark.parametrize(("text", "kind"), TAKEN.items())
def test_what_matters_is_taken_with_its_kind(text: str, kind: str) -> None:
    """Each sentence alone. An empty kind: the form is known to be missed."""
    assert [(each.kind, each.text) for each in statements(text)] == ([(kind, text)] if kind else [])


@pytest.mark.parametrize("text", CHATTER)
def test_chatter_is_left(text: str) -> None:
    """Questions, requests, sentences that mean nothing alone, and what was pasted."""
    assert list(statements(text)) == []


def test_sentences_are_taken_out_of_a_message() -> None:
    """Lists and points within names do not cut a sentence."""
    text = "The build of v1.2.3 is red. We decided to pin numpy to 2.1 for now.\n- Never push to main directly, please!"
    assert [each.text for each in statements(text)] == [
        "We decided to pin numpy to 2.1 for now.",
        "Never push to main directly, please!",
    ]


@pytest.mark.parametrize("part", ["a.", "no, ", "we decided to ", "never ", "<a>", "i ", "x" * 50 + " is "])
def test_long_messages_take_time_in_proportion(part: str) -> None:
    """A message has at most 8,000 characters; the slowest form takes far less than a second."""
    started = time.process_time()
    list(statements((part * 8_000)[:8_000]))
    assert time.process_time() - started < 5
