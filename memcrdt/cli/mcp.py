"""`memcrdt mcp`: the memory as an MCP server for coding agents."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, pass_face, run_loop
from memcrdt.cli.mcp_install import install_command, uninstall_command
from memcrdt.errors import InputError

if TYPE_CHECKING:
    from memcrdt.mcp.workspace import Workspace


@click.group("mcp", cls=FaceGroup, invoke_without_command=True)
@click.option("--project", help="The name of the project. Default: the git repository of the working folder.")
@click.option("--agent", help="The name of the agent. Default: the name that the client gives itself.")
@click.option(
    "--http",
    is_flag=False,
    flag_value="",
    metavar="[HOST:PORT]",
    help="Speak HTTP on this machine, by default on 127.0.0.1:27383. Clients need a token (memcrdt token create).",
)
@click.option("--sync/--no-sync", default=True, show_default=True, help="Sync with other devices meanwhile.")
@pass_face
@click.pass_context
def mcp_command(
    context: click.Context, face: Face, /, project: str | None, agent: str | None, http: str | None, *, sync: bool
) -> None:
    """Serve the memory to an MCP client over stdin and stdout, until stdin ends.

    The client starts this command itself, after `memcrdt mcp install`. With --http, it serves any number of clients
    until it is interrupted. Needs the extra memcrdt[mcp].
    """
    if context.invoked_subcommand is not None:
        return
    from memcrdt.service.context import Context
    from memcrdt.service.projects import find_project

    try:
        from memcrdt.mcp.server import MemoryServer
        from memcrdt.mcp.workspace import Workspace
    except ModuleNotFoundError as exc:
        raise InputError(f"the MCP server needs the module {exc.name}; install memcrdt[mcp]") from exc
    where = Context(
        project=find_project(project, os.environ, Path.cwd()),
        agent=agent,
        conversation=os.environ.get("CLAUDE_CODE_SESSION_ID"),
    )
    workspace = Workspace(face.open, where, sync=sync)
    if http is None:
        MemoryServer(workspace).run("stdio")
    else:
        _serve_http(workspace, http, face)


def _serve_http(workspace: Workspace, address: str, face: Face) -> None:
    from memcrdt.mcp.http import listen, serve, url_of
    from memcrdt.mcp.server import MemoryServer

    with listen(address) as listener:
        face.printer.value("url", url_of(listener))
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, lambda *_: None)  # the web server ends on it, and then raises it again
        run_loop(serve(MemoryServer(workspace, url_of(listener)), listener))


mcp_command.add_command(install_command)
mcp_command.add_command(uninstall_command)
