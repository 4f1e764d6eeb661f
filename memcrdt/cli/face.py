"""The base of all commands: the options --home and --json, before or after the name of the command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from memcrdt.cli.output import Printer, say, show_messages
from memcrdt.cli.values import complete_values
from memcrdt.errors import InputError, ReadOnlyError
from memcrdt.model import limits

if TYPE_CHECKING:
    import asyncio

    from memcrdt import DoctorReport, Memory

T = TypeVar("T")

STDIO = "-"


class GivenPath(click.Path):
    """A path. An empty one, such as an unset variable of a shell, does not mean the working folder: it is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of a text."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


@dataclass
class Face:
    """The values of --home and --json.

    Attributes:
        opener: Opens another memory than that of the home: that of a hub.
    """

    home: str | None = None
    json: bool = False
    opener: Callable[[], Memory] | None = None

    def begin(self) -> Memory:
        """Open the memory of the home, and create it if it does not exist."""
        from memcrdt._open import open as open_memory
        from memcrdt.paths import home_folder

        show_messages()
        return open_memory(home_folder(self.home)) if self.opener is None else self.opener()

    def open(self, *, read_only: bool = False) -> Memory:
        """Open the memory of the home. Raises NotFoundError if there is none: --home may be mistyped."""
        from memcrdt._open import check_begun
        from memcrdt._open import open as open_memory
        from memcrdt.paths import home_folder

        show_messages()
        if self.opener is not None:
            return self.opener()
        home = home_folder(self.home)
        check_begun(home)
        return open_memory(home, read_only=read_only)

    @contextmanager
    def changing(self, *, begins: bool = False) -> Iterator[Memory]:
        """Open the memory of the home for changes. At the end, warn of changes that cannot leave the machine now.

        Args:
            begins: Whether to create the memory if it does not exist.
        """
        with self.begin() if begins else self.open() as memory:
            yield memory
            for warning in memory.sync.warnings():
                say(warning.text)

    def doctor(self, *, repair: bool, give_up: bool) -> DoctorReport:
        """Check or repair the store of the home, which may be too damaged to be opened."""
        from memcrdt._open import doctor
        from memcrdt.paths import home_folder

        show_messages()
        return doctor(home_folder(self.home), repair=repair, give_up=give_up)

    def look(self) -> Memory:
        """Open the memory of the home to read it, even if it may not be written."""
        try:
            return self.open()
        except ReadOnlyError:
            return self.open(read_only=True)

    @property
    def printer(self) -> Printer:
        return Printer(self.json)


pass_face = click.make_pass_decorator(Face, ensure=True)


def _note_home(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Face).home = value


def _note_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Face).json = True


def _shared_options() -> list[click.Parameter]:
    home = "The folder of the memory. Default: $MEMCRDT_HOME, or the data folder of the platform."
    return [
        click.Option(["--home"], metavar="FOLDER", expose_value=False, callback=_note_home, help=home),
        click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_note_json, help="Print JSON, one per line."
        ),
    ]


class FaceCommand(click.Command):
    """A command with the options --home and --json."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        complete_values(self.params)
        self.params.extend(_shared_options())

    def get_short_help_str(self, limit: int = limits.TEXT_BYTES) -> str:
        return super().get_short_help_str(limit)  # the first sentence, where click would cut it off

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            exc.ctx = exc.ctx or ctx  # click sets no context for an option without its value
            raise


class FaceGroup(click.Group):
    """A group with the options --home and --json. Its help shows the first sentence of each command, never cut off.

    It flushes the output at the end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_shared_options())

    def get_short_help_str(self, limit: int = limits.TEXT_BYTES) -> str:
        return super().get_short_help_str(limit)  # the first sentence, where click would cut it off

    def sections(self, ctx: click.Context) -> Mapping[str, Iterable[str]]:
        """Return the names of the commands, by the heading of their section on the help page."""
        return {"Commands": self.list_commands(ctx)}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in self.sections(ctx).items():
            rows = [(name, found.get_short_help_str()) for name in names if (found := self.get_command(ctx, name))]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = get_close_matches(name, self.list_commands(ctx), n=2)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            ctx.fail(f"there is no command {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        result = super().invoke(ctx)
        # For a closed pipe, click exits quietly here. At exit, Python would print a warning.
        sys.stdout.flush()
        return result


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a function a FaceCommand, with further settings of click."""
    return click.command(name, cls=FaceCommand, **settings)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given on the command line."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def ending() -> asyncio.Event:
    """Return an event that is set when this process is asked to end, or its terminal was closed.

    Call it inside the running event loop.
    """
    import asyncio

    ended = asyncio.Event()
    if sys.platform != "win32":  # Windows has no such handlers
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a closed terminal; nohup ignores it
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, ended.set)
    return ended


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as asyncio.run() does, but let a second Ctrl-C not interrupt the shutdown.

    The shutdown closes connections and withdraws announcements. Raises KeyboardInterrupt after it.
    """
    import asyncio

    interrupted = False

    async def guarded() -> T:
        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                interrupted = True
                task.cancel()

        task = asyncio.ensure_future(main)
        with suppress(NotImplementedError):  # Windows has no such handlers and keeps the default of asyncio
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise


def read_text(text: str) -> str:
    """Return `text`, or the content of stdin for `-`, without the newline at the end. Raises InputError."""
    if text != STDIO:
        return text
    data = sys.stdin.buffer.read(limits.TEXT_BYTES + len(b"\r\n") + 1)
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > limits.TEXT_BYTES:
        raise InputError(f"stdin has over {limits.TEXT_BYTES:,} bytes; split the text into several memories")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InputError(f"stdin is not UTF-8 at byte {exc.start}; convert it first") from exc
