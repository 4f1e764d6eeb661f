"""The root command, and the one place that turns errors into a line on stderr and an exit code.

A subcommand is imported when it is used, so that `memcrdt add` does not load the demonstration.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from memcrdt import __version__, errors
from memcrdt.cli.face import Face, FaceGroup
from memcrdt.cli.output import as_json, say

OK, ERROR, USAGE, NOT_FOUND, LOCKED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

_EXIT_CODES: tuple[tuple[type[errors.MemcrdtError], int], ...] = (
    (errors.InputError, USAGE),
    (errors.NotFoundError, NOT_FOUND),
    (errors.LockedError, LOCKED),
    (errors.UnreachableError, UNREACHABLE),
    (errors.MemcrdtError, ERROR),
)

# The sections of the help page, with the module of each command.
_SECTIONS: dict[str, dict[str, str]] = {
    "Remember": {
        "add": "writing",
        "update": "writing",
        "resolve": "conflicts",
        "link": "writing",
        "unlink": "writing",
        "move": "writing",
        "rename-scope": "writing",
        "forget": "forgetting",
        "forget-expired": "forgetting",
        "import": "files",
        "mirror": "mirror",
        "capture": "capture",
    },
    "Find": {
        "search": "reading",
        "similar": "reading",
        "list": "reading",
        "get": "reading",
        "history": "reading",
        "conflicts": "conflicts",
        "related": "reading",
        "stats": "home",
        "export": "files",
    },
    "Devices": {
        "pair": "devices",
        "accept": "devices",
        "revoke": "devices",
        "peers": "status",
        "space": "space",
        "status": "status",
        "sync": "status",
        "serve": "serve",
        "dashboard": "dashboard",
        "service": "service",
        "hub": "hub",
        "relay": "relay",
        "relays": "relays",
        "bridge": "bridge",
        "mcp": "mcp",
        "hook": "hook_command",
        "token": "token",
    },
    "Upkeep": {
        "init": "home",
        "path": "home",
        "config": "home",
        "model": "model",
        "backup": "home",
        "restore": "home",
        "doctor": "home",
        "compact": "home",
        "completion": "completion",
        "demo": "demo",
        "help": "help",
        "version": "help",
    },
}
_MODULES = {name: module for section in _SECTIONS.values() for name, module in section.items()}


class LazyGroup(FaceGroup):
    """The subcommands, in the order of the help page. Each is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def sections(self, ctx: click.Context) -> Mapping[str, Iterable[str]]:
        return _SECTIONS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"memcrdt.cli.{_MODULES[cmd_name]}")
        command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def root(context: click.Context) -> None:
    """A memory for AI agents that stays on your own machines and merges without conflicts.

    Without a command, show the state of the memory and three commands that fit it.
    """
    if context.invoked_subcommand is None:
        from memcrdt.cli.start import show_start

        show_start(context.ensure_object(Face))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. An error prints one line on stderr, with --json a JSON object.

    Codes: 0 ok, 1 error, 2 usage, 3 not found, 4 locked, 5 unreachable, 130 interrupted.
    """
    _prepare_streams()
    face = Face()
    try:
        code = root.main(list(arguments), prog_name="memcrdt", standalone_mode=False, obj=face)
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        code = USAGE
    except (click.ClickException, click.Abort, errors.MemcrdtError, OSError, KeyboardInterrupt) as exc:
        message, code = _translated(exc)
        as_problem = face.json or "--json" in arguments  # an error in the arguments comes before the option is read
        if as_problem and code != INTERRUPTED:
            click.echo(as_json(_problem(exc, message)), err=True)
        else:
            say(message)
    return code if isinstance(code, int) else OK


def _takes_text(context: click.Context | None) -> bool:
    """Return whether a command has an argument of several words."""
    arguments = [] if context is None else [each for each in context.command.params if isinstance(each, click.Argument)]
    return any(each.name in ("text", "query") for each in arguments)


def _translated(problem: BaseException) -> tuple[str, int]:
    """Return the message and the exit code of an exception."""
    match problem:
        case click.UsageError():
            text = " ".join(problem.format_message().split()).rstrip(".")  # click lists choices on lines
            if "unexpected extra argument" in text and _takes_text(problem.ctx):
                text += "; put a text of several words in quotes"
            see = " See" if text.endswith("?") else "; see"
            return f"{text}{see} {_help_of(problem.ctx)}", USAGE
        case click.ClickException():
            return problem.format_message(), ERROR
        case errors.MemcrdtError():
            return str(problem), exit_code(problem)
        case OSError():
            return _of_system(problem), ERROR
        case click.Abort() if isinstance(problem.__context__, EOFError):  # also raised for Ctrl-C
            click.echo(err=True)  # ends the line of the prompt
            return "no answer came from stdin; answer the question, or give --yes", ERROR
    return "interrupted", INTERRUPTED


def _of_system(problem: OSError) -> str:
    """Return the message for an error of the system that no command expects: one with a file, or with the output."""
    why = problem.strerror or str(problem)
    if problem.filename is not None:
        return f"{problem.filename} cannot be used ({why}); check the path, its owner and its permissions"
    _drop_output()
    return f"writing the output: {why}"


def exit_code(problem: errors.MemcrdtError) -> int:
    """Return the code with which a command ends that raises this."""
    return next(code for kind, code in _EXIT_CODES if isinstance(problem, kind))


def _problem(error: BaseException, message: str) -> dict[str, Any]:
    """Return an error as JSON values, with the codes that every face uses."""
    from memcrdt.service.problems import problem_of

    if isinstance(error, errors.MemcrdtError):
        return problem_of(error).to_dict()
    if isinstance(error, click.Abort):
        return {"code": "confirmation_required", "reason": message, "remedy": "Repeat the command with --yes."}
    code = "invalid_input" if isinstance(error, click.UsageError) else "failed"
    return {"code": code, "reason": message, "remedy": "Correct the command line or its input, and repeat the command."}


def _help_of(context: click.Context | None) -> str:
    return f"{'memcrdt' if context is None else context.command_path} --help"


def _drop_output() -> None:
    """Redirect stdout to the null device, so that Python does not write the rest at exit."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _prepare_streams() -> None:
    """Set the encodings of the standard streams.

    Pipes and files use UTF-8. A terminal keeps its encoding and shows ? for other characters. A stream that the parent
    process has closed is replaced by the null device.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open as the stream
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
