"""`memcrdt demo`."""

from __future__ import annotations

import click

from memcrdt.cli.face import Face, command, pass_face


@command("demo")
@pass_face
@click.pass_context
def demo_command(context: click.Context, face: Face) -> None:
    """Show three nodes that sync on this machine. This takes 10 to 20 seconds.

    Each node is a process with its own home. The nodes are paired, and memories are added on each. One node is cut off,
    the same memory is edited on both sides, and the node comes back. The exit code is 0 only if all three nodes then
    return the same results for a search and have equal digests. The homes are deleted at the end.
    """
    from memcrdt.cli.demo_story import run

    if not run(face.printer, as_json=face.json):
        context.exit(1)
