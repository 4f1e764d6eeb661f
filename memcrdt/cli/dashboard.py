"""`memcrdt dashboard`: open the page that shows the memory, in the user's browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from memcrdt.cli.face import Face, command, pass_face, run_loop
from memcrdt.cli.output import say
from memcrdt.errors import InputError, LockedError

if TYPE_CHECKING:
    from memcrdt import Memory
    from memcrdt.cli.output import Printer

POLL_S: Final = 0.2  # between two looks whether the browser has used the link
PAGE: Final = (
    '<!doctype html><meta charset="utf-8"><title>memcrdt</title><meta http-equiv="refresh" content="0; url={}">'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardLink:
    """The link that opens the dashboard. It works once, within two minutes.

    Attributes:
        url: The link.
    """

    url: str


@command("dashboard")
@click.option("--open/--no-open", "opens", default=True, help="Open the browser, or only print the link.")
@pass_face
def dashboard_command(face: Face, opens: bool) -> None:
    """Open the dashboard in the browser: see, find, change and forget memories.

    Uses the running `memcrdt serve --http`. Without one, it serves the page itself, and syncs, until it is interrupted.
    The link works once, within two minutes; a session ends after 12 hours. Needs the extra memcrdt[server].
    """
    try:
        from memcrdt.server.sessions import address_of
    except ModuleNotFoundError as exc:
        raise InputError(f"the dashboard needs the module {exc.name}; install memcrdt[server]") from exc
    with face.begin() as memory:
        assert memory.home is not None
        serving = memory.sync.serving()
        url = None if serving is None else address_of(memory.home, serving.pid)
        if url is not None and url.startswith("http://"):  # one with TLS is for other machines, by another name
            run_loop(_show(memory.home, url, face.printer, opens=opens))
        else:
            run_loop(_serve(memory, face.printer, opens=opens))


async def _serve(memory: Memory, printer: Printer, *, opens: bool) -> None:
    """Serve the page until interrupted, and sync unless another process does."""
    import asyncio

    from memcrdt import Node
    from memcrdt.server.listening import HttpServer, ServerOptions

    assert memory.home is not None
    async with AsyncExitStack() as stack:
        with suppress(LockedError):
            await stack.enter_async_context(Node(memory))
        try:  # at one address, views and the theme of the browser stay
            server = await stack.enter_async_context(HttpServer(memory))
        except InputError:
            server = await stack.enter_async_context(HttpServer(memory, ServerOptions(address="127.0.0.1:0")))
        await _show(memory.home, server.url, printer, opens=opens)
        say("the dashboard works until you press Ctrl-C")
        await asyncio.Event().wait()


async def _show(home: Path, url: str, printer: Printer, *, opens: bool) -> None:
    """Print the link, and open it in the browser. Returns when it was used or has expired."""
    import asyncio

    from memcrdt.server.sessions import is_offered, offer

    code = offer(home)
    link = f"{url}/#code={code}"
    printer.record(DashboardLink(url=link))
    if not opens or not _has_screen():
        return
    import webbrowser

    with _page(home, link) as page:
        await asyncio.to_thread(webbrowser.open, page.as_uri())
        while is_offered(home, code):  # noqa: ASYNC110 - another process removes the file
            await asyncio.sleep(POLL_S)


@contextmanager
def _page(home: Path, link: str) -> Iterator[Path]:
    """Write the link into a page that only this user can read. Other users see the arguments of a browser."""
    page = home.absolute() / "dashboard.html"
    page.unlink(missing_ok=True)
    with os.fdopen(os.open(page, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(PAGE.format(link))
    try:
        yield page
    finally:
        page.unlink(missing_ok=True)


def _has_screen() -> bool:
    """Return whether a browser can open. Without a screen, Python would open one for the terminal."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
