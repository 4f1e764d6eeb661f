"""Tables of the reference that are made from the code.

The directive `record` is the table of a JSON object, from the annotations and the docstring of its class. A field
without a description in the docstring is a warning, which ends a build of the site.

    ```{record} memcrdt.model.records:Link
    ```

The directive `problems` is the table of the exceptions, with the codes and remedies that every face reports.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from memcrdt import errors

SIMPLE = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "UtcTime": "time"}
FIELD = re.compile(r"^(\w+): (.*)$")
log = logging.getLogger(__name__)


def descriptions(kind: type) -> dict[str, str]:
    """Return the descriptions of the section `Attributes:` of a docstring, by the name of the field."""
    section = inspect.getdoc(kind).partition("Attributes:\n")[2]  # type: ignore[union-attr]
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section.partition("\n\n")[0]).splitlines():
        if field := FIELD.match(line):
            name, found[name] = field[1], field[2]
        else:
            found[name] += f" {line.strip()}"
    return found


def json_type(annotation: str) -> str:
    """Return the words for the JSON values of an annotation, such as `text or null`."""
    if annotation.endswith(" | None"):
        return f"{json_type(annotation.removesuffix(' | None'))} or null"
    if annotation.startswith("Literal["):
        return "text"
    if items := re.fullmatch(r"tuple\[(.+), \.\.\.\]|(?:Sequence|list)\[(.+)\]", annotation):
        return f"list of {json_type(items[1] or items[2])}"
    if annotation.startswith(("Mapping[", "dict[")):
        return "object"
    if annotation.startswith("tuple["):
        return "list"
    return SIMPLE.get(annotation, annotation)


class Table(SphinxDirective):
    """A table of three columns."""

    headings: ClassVar[tuple[str, str, str]]
    widths: ClassVar[tuple[int, int, int]]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield the cells of each row, in Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        columns = [nodes.colspec(colwidth=width) for width in self.widths]
        head = nodes.thead("", self._row(self.headings))
        body = nodes.tbody("", *map(self._row, self.rows()))
        return [nodes.table("", nodes.tgroup("", *columns, head, body, cols=len(columns)))]

    def _row(self, cells: tuple[str, ...]) -> nodes.row:
        parsed = [self.parse_inline(cell, lineno=self.lineno) for cell in cells]
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell, *wrong)) for cell, wrong in parsed))


class RecordTable(Table):
    """The table of one record."""

    required_arguments = 1
    headings = ("field", "value", "meaning")
    widths = (20, 20, 60)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield name, type and description of each field."""
        module, _, name = self.arguments[0].partition(":")
        kind = getattr(import_module(module), name)
        said = descriptions(kind)
        for field in dataclasses.fields(kind):
            if field.name not in said:
                log.warning("%s.%s has no description", name, field.name, location=self.get_location())
            yield f"`{field.name}`", json_type(str(field.type)), said.get(field.name, "")


class ProblemTable(Table):
    """The table of all problems."""

    headings = ("exception, code, exit code", "what happened", "what to do")
    widths = (30, 35, 35)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield each exception that a caller can catch by a code of its own."""
        from memcrdt.cli.app import exit_code
        from memcrdt.service.problems import problem_of

        for kind in classes_of(errors.MemcrdtError):
            problem = problem_of(kind("…"))
            happened = inspect.getdoc(kind) or ""
            name = f"`{kind.__name__}` `{problem.code}` {exit_code(kind('…'))}"
            yield name, happened.partition("\n\n")[0], problem.remedy


def classes_of(base: type[errors.MemcrdtError]) -> Iterator[type[errors.MemcrdtError]]:
    """Yield the public exceptions below a class, each after its base."""
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from classes_of(kind)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("record", RecordTable)
    app.add_directive("problems", ProblemTable)
    return {"parallel_read_safe": True}
