"""`memcrdt demo`."""

from __future__ import annotations

import click

from memcrdt.cli.face import Face, command, pass_face


@command("demo")
@pass_face
@click.pass_context
def demo_command(context: click.Context, face: Face) -> None:
    """Show three nodes that sync, on this machine, in a few seconds.

    Each is a process with a home of its own. They are paired, memories are added on each, one is cut off, the same
    memory is edited on both sides of the cut, and the cut ends. The exit code is 0 only if all three then give the
    same answer to the same search and have equal digests. Nothing is left behind.
    """
    from memcrdt.cli.demo_story import run

    if not run(face.printer, as_json=face.json):
        context.exit(1)
