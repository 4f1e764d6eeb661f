"""The nine tools of the MCP server server-memory, with its names, arguments and answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memcrdt.mcp.calls import Calls, result
from memcrdt.mcp.resources import GRAPH, read
from memcrdt.mcp.texts import SERVER_MEMORY
from memcrdt.service import graph
from memcrdt.service.graph import GraphService
from memcrdt.service.service import Service

_READ: Final = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_ADD: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
_DELETE: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)


class _Wire(BaseModel):
    """An object as clients write it, in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class WireEntity(_Wire):
    """An entity."""

    name: str
    entity_type: str
    observations: list[str]


class WireRelation(_Wire):
    """A relation between two entities, in active voice."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")
    relation_type: str


class Addition(_Wire):
    """Observations to add to an entity."""

    entity_name: str
    contents: list[str]


class Deletion(_Wire):
    """Observations to delete from an entity."""

    entity_name: str
    observations: list[str]


class Entities(_Wire):
    """An answer with entities."""

    entities: list[WireEntity]


class Relations(_Wire):
    """An answer with relations."""

    relations: list[WireRelation]


class WireGraph(_Wire):
    """An answer with a graph."""

    entities: list[WireEntity]
    relations: list[WireRelation]


class Added(_Wire):
    """The observations of an entity that were new."""

    entity_name: str
    added_observations: list[str]


class Additions(_Wire):
    """An answer with new observations."""

    results: list[Added]


class Done(_Wire):
    """An answer without data."""

    success: bool
    message: str


class ServerMemoryTools:
    """The nine tools.

    Args:
        calls: Makes the calls.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the tools, in the order of that server, and its resource."""
        for tool, hints in (
            (self.create_entities, _ADD),
            (self.create_relations, _ADD),
            (self.add_observations, _ADD),
            (self.delete_entities, _DELETE),
            (self.delete_observations, _DELETE),
            (self.delete_relations, _DELETE),
            (self.read_graph, _READ),
            (self.search_nodes, _READ),
            (self.open_nodes, _READ),
        ):
            server.add_tool(tool, description=SERVER_MEMORY[tool.__name__], annotations=hints)
            made = server._tool_manager.get_tool(tool.__name__)  # the SDK has no other way to a short schema
            assert made is not None
            made.parameters = short(made.parameters)
            made.fn_metadata.output_schema = short(made.fn_metadata.output_schema)

        @server.resource(GRAPH, name="knowledge-graph", description="The whole graph", mime_type="application/json")
        def knowledge_graph() -> str:
            return read(
                self._calls, lambda service: _text(_graph(GraphService(service).read()).model_dump(by_alias=True))
            )

    def create_entities(
        self, ctx: Context[Any, Any], entities: list[WireEntity]
    ) -> Annotated[CallToolResult, Entities]:
        given = [_entity(each) for each in entities]
        return self._call(ctx, lambda asked: Entities(entities=[_told(each) for each in asked.create_entities(given)]))

    def create_relations(
        self, ctx: Context[Any, Any], relations: list[WireRelation]
    ) -> Annotated[CallToolResult, Relations]:
        given = [_relation(each) for each in relations]
        return self._call(
            ctx, lambda asked: Relations(relations=[_told_relation(each) for each in asked.create_relations(given)])
        )

    def add_observations(
        self, ctx: Context[Any, Any], observations: list[Addition]
    ) -> Annotated[CallToolResult, Additions]:
        given = _by_name((each.entity_name, each.contents) for each in observations)

        def call(asked: GraphService) -> Additions:
            added = asked.add_observations(given)
            return Additions(results=[Added(entity_name=name, added_observations=new) for name, new in added.items()])

        return self._call(ctx, call)

    def delete_entities(
        self,
        ctx: Context[Any, Any],
        entityNames: list[str],  # noqa: N803 - the name that clients send
    ) -> Annotated[CallToolResult, Done]:
        def call(asked: GraphService) -> Done:
            unknown = asked.delete_entities(entityNames)
            return _done("entities", len(set(entityNames)) - len(unknown), len(set(entityNames)), unknown)

        return self._call(ctx, call)

    def delete_observations(self, ctx: Context[Any, Any], deletions: list[Deletion]) -> Annotated[CallToolResult, Done]:
        def call(asked: GraphService) -> Done:
            given = _by_name((each.entity_name, each.observations) for each in deletions)
            count, unknown = asked.delete_observations(given)
            return _done("observations", count, sum(map(len, given.values())), unknown)

        return self._call(ctx, call)

    def delete_relations(
        self, ctx: Context[Any, Any], relations: list[WireRelation]
    ) -> Annotated[CallToolResult, Done]:
        given = [_relation(each) for each in relations]
        return self._call(ctx, lambda asked: _done("relations", asked.delete_relations(given), len(set(given)), ()))

    def read_graph(self, ctx: Context[Any, Any]) -> Annotated[CallToolResult, WireGraph]:
        return self._call(ctx, lambda asked: _graph(asked.read()))

    def search_nodes(self, ctx: Context[Any, Any], query: str) -> Annotated[CallToolResult, WireGraph]:
        return self._call(ctx, lambda asked: _graph(asked.search(query)))

    def open_nodes(self, ctx: Context[Any, Any], names: list[str]) -> Annotated[CallToolResult, WireGraph]:
        return self._call(ctx, lambda asked: _graph(asked.open(names)))

    def _call(self, ctx: Context[Any, Any], call: Callable[[GraphService], _Wire]) -> CallToolResult:
        def answer(service: Service) -> CallToolResult:
            told = call(GraphService(service))
            said = told.model_dump(by_alias=True)
            return result(told.message if isinstance(told, Done) else _text(said), said)

        return self._calls.call(ctx, answer)


def _entity(given: WireEntity) -> graph.Entity:
    return graph.Entity(given.name, given.entity_type, tuple(given.observations))


def _relation(given: WireRelation) -> graph.Relation:
    return graph.Relation(given.start, given.relation_type, given.end)


def short(schema: Any) -> Any:
    """Return a schema without what pydantic adds for readers: titles, and the docstrings of classes."""
    if isinstance(schema, list):
        return [short(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {
        name: value
        for name, value in schema.items()
        if not (name in ("title", "description") and isinstance(value, str))
    }
    return {name: short(value) for name, value in told.items()}


def _by_name(given: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Return the observations for each entity, which may be named several times."""
    found: dict[str, list[str]] = {}
    for name, observations in given:
        found.setdefault(name, []).extend(observations)
    return found


def _told(entity: graph.Entity) -> WireEntity:
    return WireEntity(name=entity.name, entity_type=entity.kind, observations=list(entity.observations))


def _told_relation(relation: graph.Relation) -> WireRelation:
    return WireRelation.model_validate({"from": relation.start, "to": relation.end, "relationType": relation.kind})


def _graph(found: graph.Graph) -> WireGraph:
    return WireGraph(
        entities=[_told(each) for each in found.entities],
        relations=[_told_relation(each) for each in found.relations],
    )


def _text(said: dict[str, Any]) -> str:
    """Return an answer as text. That server leaves the name of a single list out."""
    shown = next(iter(said.values())) if len(said) == 1 else said
    return json.dumps(shown, ensure_ascii=False, indent=2)


def _done(what: str, count: int, asked: int, unknown: Sequence[str]) -> Done:
    """Return the message about a deletion."""
    if count == asked:
        return Done(success=True, message=f"{what.capitalize()} deleted successfully")
    missing = f" Not found: {', '.join(unknown)}" if unknown else ""
    return Done(success=True, message=f"Deleted {count} of {asked} {what}.{missing}")
