"""`memcrdt model list`, `use`, `pull` and `status`: the embedding models."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, command, pass_face
from memcrdt.cli.output import Column, say, without
from memcrdt.cli.values import CompletedText, models

if TYPE_CHECKING:
    from memcrdt import KnownModel

_MODELS: tuple[Column[KnownModel], ...] = (
    Column("name", lambda model: model.name),
    Column("here", lambda model: "here" if model.here else ""),
    Column("MB", lambda model: f"{model.size_mb:.0f}"),
    Column("dimensions", lambda model: model.dim),
    Column("description", lambda model: model.description),
)


@click.group("model", cls=FaceGroup)
def model_command() -> None:
    """List, download and choose the embedding models, for search by meaning.

    A model is a shipped one, one that fastembed supports, or a folder with a model.
    """


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the known models, and show which are on this machine."""
    from memcrdt import Models

    face.printer.table(Models.list(), _MODELS)


@command("pull")
@click.argument("name", type=CompletedText(models))
@pass_face
def pull_command(face: Face, name: str) -> None:
    """Download a model, to use it later without a network. A second run resumes the download."""
    from memcrdt import Models

    Models.pull(name, progress=_show_progress if sys.stderr.isatty() else None)
    say(f"{name} is on this machine; `memcrdt model use {name}` searches with it")


@command("use")
@click.argument("name", type=CompletedText(models))
@click.option("--pull", is_flag=True, help="Download the model first, if it is not on this machine.")
@pass_face
def use_command(face: Face, name: str, pull: bool) -> None:
    """Switch to the model NAME: `static`, a name from `memcrdt model list`, or a folder with a model.

    Every memory is embedded again in the background, while a process has this home open. Until then, search uses the
    old vectors.
    """
    if pull:
        from memcrdt import Models

        Models.pull(name, progress=_show_progress if sys.stderr.isatty() else None)
    with face.begin() as memory:
        face.printer.value("model", memory.models.use(name))
        waiting = memory.models.status().waiting
    if waiting:
        say(f"memories to embed again: {waiting:,}; `memcrdt model status --wait` or `memcrdt serve` embeds them")


@command("status")
@click.option("--wait", is_flag=True, help="Embed all waiting memories before returning.")
@pass_face
def status_command(face: Face, wait: bool) -> None:
    """Show the model in use, and the number of memories that wait to be embedded."""
    with without("memcrdt.search"), face.open() as memory:
        face.printer.record(memory.models.wait() if wait else memory.models.status())


for _subcommand in (list_command, use_command, pull_command, status_command):
    model_command.add_command(_subcommand)


def _show_progress(here: int, total: int) -> None:
    click.echo(f"\rmemcrdt: {here / 1e6:,.1f} of {total / 1e6:,.1f} MB", nl=here == total, err=True)
