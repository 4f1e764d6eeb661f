"""Ctrl-C in a command that runs an event loop."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from memcrdt.cli.interrupts import run


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_second_ctrl_c_does_not_cut_short_what_the_first_one_ends() -> None:
    """It comes while the command says goodbye."""
    said: list[str] = []

    async def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            for word in ("good", "bye"):
                await asyncio.sleep(0)
                said.append(word)

    with pytest.raises(KeyboardInterrupt):
        run(command())
    assert said == ["good", "bye"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_a_command_returns_is_returned() -> None:
    """As by asyncio.run()."""

    async def command() -> int:
        return 7

    assert run(command()) == 7
