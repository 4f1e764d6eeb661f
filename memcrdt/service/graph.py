"""A graph of entities and relations over the memories of a store, with the calls of the MCP server server-memory.

The memories are those that an import of its file makes; see memcrdt.importing.server_memory. The graph is one for all
projects, as in that server: what these calls add goes to `global`, and what they read is the graph of all scopes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from memcrdt.errors import NotFoundError, StaleRevisionError
from memcrdt.importing import server_memory
from memcrdt.model.filters import INCLUDES
from memcrdt.model.records import MemoryRecord
from memcrdt.model.scopes import GLOBAL
from memcrdt.service.context import EVERYWHERE
from memcrdt.service.service import Service

T = TypeVar("T")

_ATTEMPTS: Final = 50  # each round of competing writers lets at least one through


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation between two entities, by their names."""

    start: str
    kind: str
    end: str


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity.

    Attributes:
        name: Its name.
        kind: Its type; empty if it has none.
        observations: What is known about it.
    """

    name: str
    kind: str
    observations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Entities and relations, oldest first."""

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]

    def around(self, names: Iterable[str]) -> Graph:
        """Return the entities with these names, and every relation that begins or ends at one of them."""
        found = {each.name for each in self.entities} & set(names)
        return Graph(
            tuple(each for each in self.entities if each.name in found),
            tuple(each for each in self.relations if found & {each.start, each.end}),
        )


class GraphService:
    """The calls of server-memory. They raise the errors of Memory, and change everything or nothing.

    Args:
        service: The service of the caller, which decides its rights.

    Example:
        >>> graph = GraphService(service)
        >>> graph.create_entities([Entity("Ada", "person", ("likes tea",))])
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def read(self) -> Graph:
        """Return the whole graph."""
        return _Held(self._service).graph

    def search(self, query: str) -> Graph:
        """Return the entities whose name, type or observations contain a text in any case, with their relations."""
        graph, wanted = self.read(), query.casefold()
        texts = {each.name: "\0".join((each.name, each.kind, *each.observations)) for each in graph.entities}
        return graph.around(name for name, text in texts.items() if wanted in text.casefold())

    def open(self, names: Iterable[str]) -> Graph:
        """Return the entities with these names, with their relations."""
        return self.read().around(names)

    def create_entities(self, entities: Sequence[Entity]) -> list[Entity]:
        """Add the entities whose name is new, and return them."""

        def change(held: _Held) -> list[Entity]:
            first = {each.name: each for each in reversed(entities)}
            new = [each for each in entities if first[each.name] is each and each.name not in held.entities]
            self._add(server_memory.entity(each.name, each.kind, list(each.observations)) for each in new)
            return new

        return self._change(change)

    def create_relations(self, relations: Sequence[Relation]) -> list[Relation]:
        """Add the relations that are new, and return them. Raises NotFoundError if an entity does not exist."""

        def change(held: _Held) -> list[Relation]:
            held.check_known(*(name for each in relations for name in (each.start, each.end)))
            new = [each for each in dict.fromkeys(relations) if each not in held.relations]
            self._add(server_memory.relation(each.start, each.kind, each.end) for each in new)
            return new

        return self._change(change)

    def add_observations(self, additions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Add observations to entities, by name, and return the new ones. Raises NotFoundError."""

        def change(held: _Held) -> dict[str, list[str]]:
            held.check_known(*additions)
            new = {
                name: [each for each in dict.fromkeys(given) if each not in held.observations[name]]
                for name, given in additions.items()
            }
            self._rewrite(held, {name: held.observations[name] + more for name, more in new.items() if more})
            return new

        return self._change(change)

    def delete_entities(self, names: Iterable[str]) -> list[str]:
        """Forget entities and their relations everywhere, and return the names that were unknown."""
        held, asked = self._to_delete(), set(names)
        gone = [record for name, records in held.entities.items() if name in asked for record in records]
        ended = (records for each, records in held.relations.items() if asked & {each.start, each.end})
        self._forget(gone, *ended)
        return sorted(asked - held.entities.keys())

    def delete_relations(self, relations: Iterable[Relation]) -> int:
        """Forget relations everywhere, and return the number of those that existed."""
        held = self._to_delete()
        known = held.relations.keys() & set(relations)
        self._forget(*(held.relations[each] for each in known))
        return len(known)

    def delete_observations(self, deletions: Mapping[str, Sequence[str]]) -> tuple[int, list[str]]:
        """Remove observations from entities, by name. The history of an entity keeps the old text.

        Returns:
            The number of observations that were removed, and the names of the entities that do not exist.
        """

        def change(held: _Held) -> tuple[int, list[str]]:
            known = {name: given for name, given in deletions.items() if name in held.entities}
            kept = {name: [each for each in held.observations[name] if each not in known[name]] for name in known}
            removed = {name: len(held.observations[name]) - len(kept[name]) for name in known}
            self._rewrite(held, {name: kept[name] for name in known if removed[name]})
            return sum(removed.values()), sorted(deletions.keys() - known.keys())

        return self._change(change)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _change(self, change: Callable[[_Held], T]) -> T:
        """Make a change of the graph as it is, and again if another program has changed it in the meantime."""
        self._service.access.check("write")
        for _ in range(_ATTEMPTS - 1):
            with suppress(StaleRevisionError):
                return change(_Held(self._service))
        return change(_Held(self._service))

    def _to_delete(self) -> _Held:
        self._service.access.check("forget")
        return _Held(self._service)

    def _add(self, items: Iterable[Mapping[str, Any]]) -> None:
        self._service.add_many([{**each, "scope": GLOBAL, "expected": []} for each in items])

    def _rewrite(self, held: _Held, observations: Mapping[str, Sequence[str]]) -> None:
        """Write the observations of entities. If an entity is in several scopes, each of its memories has them all."""
        changes = [
            {"id": record.id, "text": server_memory.entity_text(name, told), "expected": held.heads[record.id]}
            for name, told in observations.items()
            for record in held.entities[name]
        ]
        self._service.memory.update_many(changes, author=self._service.context.agent)

    def _forget(self, *records: Sequence[MemoryRecord]) -> None:
        if ids := [record.id for each in records for record in each]:
            self._service.memory.forget(ids)


class _Held:
    """The graph as it is in the store, with its memories.

    Attributes:
        entities: The memories of each entity, by its name. There are several if it is in several scopes or spaces.
        observations: The observations of each entity: of all texts if devices wrote competing ones.
        relations: The memories of each relation.
        heads: The revisions of each memory of an entity, by its id.
    """

    def __init__(self, service: Service) -> None:
        self.entities: dict[str, list[MemoryRecord]] = {}
        self.observations: dict[str, list[str]] = {}
        self.relations: dict[Relation, list[MemoryRecord]] = {}
        self.heads: dict[str, list[str]] = {}
        told = service.iterate(scope=EVERYWHERE, order="oldest", source=server_memory.SOURCE, include=INCLUDES)
        for record in told:
            name, ends = (record.metadata.get(key) for key in (server_memory.ENTITY, server_memory.RELATION))
            if isinstance(name, str):
                self._take(service, name, record)
            elif isinstance(ends, list) and len(ends) == 3 and all(isinstance(each, str) for each in ends):
                self.relations.setdefault(Relation(*ends), []).append(record)

    @property
    def graph(self) -> Graph:
        """The graph without its memories."""
        entities = (
            Entity(name, records[0].kind or "", tuple(self.observations[name]))
            for name, records in self.entities.items()
        )
        return Graph(tuple(entities), tuple(self.relations))

    def check_known(self, *names: str) -> None:
        """Raise NotFoundError if there is no entity with one of these names."""
        for name in names:
            if name not in self.entities:
                raise NotFoundError(f"Entity with name {name[:200]} not found")

    def _take(self, service: Service, name: str, record: MemoryRecord) -> None:
        texts = {record.revision: record.text}
        if record.conflicted:
            texts = {each.revision: each.text for each in service.memory.conflicts(record.id)} or texts
        self.entities.setdefault(name, []).append(record)
        self.heads[record.id] = list(texts)
        known = self.observations.setdefault(name, [])
        for text in texts.values():
            known += [each for each in server_memory.observations_of(text) if each not in known]
