"""What all commands share: the options --home and --json, given before or behind the command's name."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from memcrdt.cli.output import Printer, say, show_messages
from memcrdt.errors import InputError, ReadOnlyError
from memcrdt.model import limits

if TYPE_CHECKING:
    from memcrdt import DoctorReport, Memory

T = TypeVar("T")

STDIO = "-"


@dataclass
class Face:
    """Where the memory is and how to print: what --home and --json said."""

    home: str | None = None
    json: bool = False

    def open(self, *, read_only: bool = False) -> Memory:
        """The memory of the home; a context manager. It is made if it is not there, unless `read_only`."""
        from memcrdt._open import open as open_memory
        from memcrdt.paths import home_folder

        show_messages()
        return open_memory(home_folder(self.home), read_only=read_only)

    @contextmanager
    def changing(self) -> Iterator[Memory]:
        """The memory of the home, to change. In the end it warns of changes that can't leave the machine now."""
        with self.open() as memory:
            yield memory
            for warning in memory.sync.warnings():
                say(warning.text)

    def doctor(self, *, repair: bool, give_up: bool) -> DoctorReport:
        """Check the store of the home, which may be too damaged to be opened."""
        from memcrdt._open import doctor
        from memcrdt.paths import home_folder

        show_messages()
        return doctor(home_folder(self.home), repair=repair, give_up=give_up)

    def look(self) -> Memory:
        """The memory of the home, to read: where it may not be written, for reading only."""
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
    home = "The folder that holds the memory; else $MEMCRDT_HOME, else the platform's data folder."
    return [
        click.Option(["--home"], metavar="FOLDER", expose_value=False, callback=_note_home, help=home),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_note_json, help="Print JSON, one a line."),
    ]


class FaceCommand(click.Command):
    """A command that takes --home and --json too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_shared_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            exc.ctx = exc.ctx or ctx  # click leaves it out for an option without its value
            raise


class FaceGroup(click.Group):
    """A group that takes --home and --json before the command's name, and ends with what was printed written."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_shared_options())

    def invoke(self, ctx: click.Context) -> Any:
        result = super().invoke(ctx)
        # Here a reader that went away is still an error that click ends quietly on; at exit it would be a warning.
        sys.stdout.flush()
        return result


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A decorator that makes a FaceCommand of a function."""
    return click.command(name, cls=FaceCommand)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were named on the command line."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """What asyncio.run() does, except that a second Ctrl-C does not tear apart what the first one ends: goodbyes are
    said, and records withdrawn. Raises KeyboardInterrupt when that is done."""
    import asyncio

    interrupted = False

    async def guarded() -> T:
        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                interrupted = True
                task.cancel()

        task = asyncio.ensure_future(main)
        with suppress(NotImplementedError):  # Windows has no such handlers; there it is as asyncio has it
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise


def read_text(text: str) -> str:
    """`text`, or what stdin holds if it is `-`, without the newline at its end. Raises InputError."""
    if text != STDIO:
        return text
    data = sys.stdin.buffer.read(limits.TEXT_BYTES + len(b"\r\n") + 1)
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > limits.TEXT_BYTES:
        raise InputError(f"stdin holds over {limits.TEXT_BYTES:,} bytes; split the text into several memories")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InputError(f"stdin holds no UTF-8 at byte {exc.start}; convert it first") from exc
