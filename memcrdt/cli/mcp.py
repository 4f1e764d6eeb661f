"""`memcrdt mcp`: the memory as an MCP server for coding agents."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, pass_face, run_loop
from memcrdt.cli.mcp_doctor import doctor_command, instructions_command
from memcrdt.cli.mcp_install import install_command, uninstall_command
from memcrdt.errors import InputError

if TYPE_CHECKING:
    from memcrdt.mcp.server import Offer
    from memcrdt.mcp.workspace import Workspace


@click.group("mcp", cls=FaceGroup, invoke_without_command=True)
@click.option("--project", help="The name of the project. Default: the git repository of the working folder.")
@click.option("--agent", help="The name of the agent. Default: the name that the client gives itself.")
@click.option(
    "--http",
    is_flag=False,
    flag_value="",
    metavar="[HOST:PORT]",
    help="Speak HTTP on this machine, by default on 127.0.0.1:27391. Clients need a token (memcrdt token create).",
)
@click.option(
    "--tools", type=click.Choice(["search,fetch"]), help="Offer only search and fetch, as ChatGPT connectors want it."
)
@click.option(
    "--compat",
    type=click.Choice(["server-memory"]),
    help="Offer the tools of that MCP server, as a graph over the same memories.",
)
@click.option("--sync/--no-sync", default=True, show_default=True, help="Sync with other devices meanwhile.")
@pass_face
@click.pass_context
def mcp_command(
    context: click.Context,
    face: Face,
    /,
    project: str | None,
    agent: str | None,
    http: str | None,
    *,
    tools: str | None,
    compat: str | None,
    sync: bool,
) -> None:
    """Serve the memory to an MCP client over stdin and stdout, until stdin ends.

    The client starts this command itself, after `memcrdt mcp install`. With --http, it serves any number of clients
    until it is interrupted. Needs the extra memcrdt[mcp].
    """
    if context.invoked_subcommand is not None:
        return
    if tools and compat:
        raise InputError("--tools and --compat exclude each other")
    from memcrdt.projects import find_project
    from memcrdt.service.context import Context

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
    workspace = Workspace(face.begin, where, sync=sync)
    offer: Offer = "documents" if tools else "server-memory" if compat else "memories"
    if http is None:
        # The SDK reads stdin in a thread that nothing can wake, so Ctrl-C would wait for the next line. Ending at once
        # loses nothing: what was answered is on the disk, and a SIGTERM does the same.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        MemoryServer(workspace, offer=offer).run("stdio")
    else:
        _serve_http(workspace, http, face, offer)


def _serve_http(workspace: Workspace, address: str, face: Face, offer: Offer) -> None:
    from memcrdt.mcp.http import listen, serve, url_of
    from memcrdt.mcp.server import MemoryServer

    with listen(address) as listener:
        # The web server ends on it, closes the memory, and raises it again. Before that, it ends the process.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        face.printer.value("url", url_of(listener))
        sys.stdout.flush()
        run_loop(serve(MemoryServer(workspace, url_of(listener), offer), listener))


for _command in (install_command, uninstall_command, doctor_command, instructions_command):
    mcp_command.add_command(_command)
