"""`memcrdt mcp`: the memory as an MCP server for coding agents."""

from __future__ import annotations

import os
from pathlib import Path

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.errors import InputError


@command("mcp")
@click.option("--project", help="The name of the project. Default: the git repository of the working folder.")
@click.option("--agent", help="The name of the agent. Default: the name that the client gives itself.")
@click.option("--sync/--no-sync", default=True, show_default=True, help="Sync with other devices meanwhile.")
@pass_face
def mcp_command(face: Face, /, project: str | None, agent: str | None, *, sync: bool) -> None:
    """Serve the memory to an MCP client over stdin and stdout, until stdin ends.

    The client starts this command itself. Needs the extra memcrdt[mcp].
    """
    from memcrdt.service.context import Context
    from memcrdt.service.projects import find_project

    try:
        from memcrdt.mcp.server import MemoryServer
        from memcrdt.mcp.workspace import Workspace
    except ModuleNotFoundError as exc:
        raise InputError(f"the MCP server needs the module {exc.name}; install memcrdt[mcp]") from exc
    context = Context(
        project=find_project(project, os.environ, Path.cwd()),
        agent=agent,
        conversation=os.environ.get("CLAUDE_CODE_SESSION_ID"),
    )
    MemoryServer(Workspace(face.open, context, sync=sync)).run("stdio")
