"""What requests contain: the arguments of the service, with their types and limits for the description.

The service checks every value again, in the same way for each face; here is what a client can check before it asks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Json, create_model

from memcrdt.model import attributes, limits
from memcrdt.model.attributes import ValueType, taken_by
from memcrdt.model.filters import Include, Order
from memcrdt.model.scopes import Category
from memcrdt.service.refused_arguments import ID, NOT_BLANK

PAGE: Final = 50
MOST: Final = 200  # of a page
MOST_HOURS: Final = 720  # of activity: a month

Id: TypeAlias = Annotated[str, Field(pattern=ID, examples=["01K9XQ3V7M2ZC4T8N6B5R1D0PE"])]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=limits.TEXT_BYTES, pattern=NOT_BLANK)]
Label: TypeAlias = Annotated[str, Field(min_length=1, max_length=limits.LABEL_CHARS)]
Labels: TypeAlias = Annotated[list[Label], Field(max_length=limits.FILTER_VALUES)]
Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=limits.TAG_CHARS)]
Tags: TypeAlias = Annotated[list[Tag], Field(max_length=limits.TAGS)]
TagFilter: TypeAlias = Annotated[list[Tag], Field(max_length=limits.FILTER_VALUES)]
Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=limits.KEY_CHARS)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Moment: TypeAlias = Annotated[str, Field(max_length=40, examples=["2026-11-01", "2w"])]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=MOST)]
Seconds: TypeAlias = Annotated[float, Field(gt=0)]
Metadata: TypeAlias = Annotated[dict[str, Any], Field(max_length=limits.METADATA_KEYS)]
Source: TypeAlias = Annotated[str, Field(min_length=1, max_length=limits.SOURCE_CHARS)]
Scope: TypeAlias = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2 * limits.SCOPE_NAME_CHARS + 32,
        description="`global`, `project/NAME`, `agent/NAME`, `conversation/NAME` or `project/NAME/conversation/NAME`",
        examples=["project/acme"],
    ),
]

_TYPES: Final[dict[ValueType, Any]] = {
    attributes.LABEL: Label,
    attributes.SOURCE: Source,
    attributes.SCOPE: Scope,
    attributes.MEMORY: Id,
    attributes.SHARE: Share,
    attributes.FLAG: bool,
    attributes.TIME: datetime,
}


class Body(BaseModel):
    """The base of all: a name that nobody knows is an error, because it may be a mistyped one."""

    model_config = ConfigDict(extra="forbid")

    def given(self, *without: str) -> dict[str, Any]:
        """Return the members that the client sent, except some."""
        return self.model_dump(exclude_unset=True, exclude=set(without))


def _attributes(verb: Literal["add", "update"]) -> Any:
    """Return a model with the attributes of the table that a call takes; `null` is no value."""
    members: dict[str, Any] = {}
    for attribute in taken_by(verb):
        kind = _TYPES[attribute.type]
        may_be_none = attribute.default is None or verb == "add"
        members[attribute.name] = (
            (kind | None) if may_be_none else kind,
            Field(attribute.default if verb == "update" else None, description=attribute.help),
        )
    return create_model(f"Attributes{verb.title()}", __base__=Body, **members)


class MemoryContent(_attributes("add")):  # type: ignore[misc]  # made from the table of attributes
    """A memory that is added. `Memory.add()` explains the members. The default of `author` is the name of the token."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "Deploys go out on Tuesdays", "scope": "project/acme", "tags": ["release"]}]
        },
    )

    text: Text
    space: Label | None = Field(None, description="Default: `personal`, or the first space of the token")
    tags: Tags = Field(default_factory=list)
    metadata: Metadata | None = None
    created_at: datetime | None = Field(None, description="The time of the fact, if it is not now")
    ttl: Seconds | None = Field(None, description="Seconds until it is hidden")


class AddedMemory(MemoryContent):
    """A new memory. A text that is known in its space and scope is not added twice."""

    id: Id | None = Field(None, description="A ULID. Default: the server makes one")
    key: Key | None = Field(None, description="Adding under the same key again, on any device, updates the memory")


class AddedMemories(Body):
    """Several new memories: all are added or none is."""

    memories: Annotated[list[AddedMemory], Field(min_length=1, max_length=MOST)]


def _describe_patch(schema: dict[str, Any]) -> None:
    """Describe that members may be left out: a member that is not sent has no default, but stays as it is."""
    schema["examples"] = [{"text": "Deploys go out on Fridays", "add_tags": ["urgent"]}]
    for member in schema["properties"].values():
        member.pop("default", None)


class MemoryPatch(_attributes("update")):  # type: ignore[misc]  # as above
    """Changes of a memory. What is left out stays; `null` removes a value, as in a JSON merge patch."""

    model_config = ConfigDict(json_schema_extra=_describe_patch)

    text: Text = ""
    tags: Tags = Field(default_factory=list, description="They replace all present tags")
    add_tags: Tags = Field(default_factory=list)
    remove_tags: Tags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict, description="Entries to add or replace; null removes one")
    ttl: Seconds | None = Field(None, description="Seconds until it is hidden")
    author: Label | None = Field(None, description="Default: the name of the token")


class Resolution(Body):
    """How a conflict is settled: one of the competing texts, or another text."""

    keep: Id | None = Field(None, description="The revision of the text to keep")
    text: Text | None = None


class AddedLink(Body):
    """A link to another memory."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"rel": "caused by", "to": "01K9XQ3V7M2ZC4T8N6B5R1D0PE"}]}
    )

    rel: Label
    to: Id


class FilterBody(Body):
    """Filters, all of which a memory has to meet. `memcrdt.Filters` explains them."""

    scope: Scope | None = Field(None, description="Default: all scopes")
    space: Labels = Field(default_factory=list)
    category: Annotated[list[Category], Field(max_length=limits.FILTER_VALUES)] = Field(default_factory=list)
    kind: Labels = Field(default_factory=list)
    tags: TagFilter = Field(default_factory=list, description="Any of them")
    all_tags: TagFilter = Field(default_factory=list, description="All of them")
    not_tags: TagFilter = Field(default_factory=list, description="None of them")
    after: Moment | None = Field(None, description="Created after this date, time, or age such as 2w")
    before: Moment | None = None
    updated_after: Moment | None = None
    updated_before: Moment | None = None
    contains: Annotated[str, Field(min_length=1, max_length=limits.QUERY_CHARS)] | None = None
    pinned: bool | None = None
    conflicts: bool | None = Field(None, description="Whether the text has rivals")
    author: Labels = Field(default_factory=list)
    device: Labels = Field(default_factory=list)
    source: Annotated[list[Source], Field(max_length=limits.FILTER_VALUES)] = Field(default_factory=list)
    include: Annotated[list[Include], Field(max_length=2)] = Field(
        default_factory=list, description="Hidden memories to show too"
    )
    as_of: Moment | None = Field(None, description="Use the memories as they were at this time")

    def filters(self, *without: str) -> dict[str, Any]:
        """Return the filters that the client sent. Without a scope, all scopes are meant."""
        given = {name: value for name, value in self.given(*without).items() if value not in (None, [])}
        return {"scope": "all", **given}


class FilterQuery(FilterBody):
    """Filters in the query of an address."""

    metadata: Json[dict[str, Any]] | None = Field(None, description='As JSON, such as {"year": {"$gte": 2020}}')


class ListQuery(FilterQuery):
    """A page of a list."""

    limit: Limit = PAGE
    cursor: Annotated[str, Field(max_length=limits.KIB)] | None = Field(None, description="`next` of the page before")
    order: Order = "newest"


class SearchQuery(FilterQuery):
    """A search by words and by meaning."""

    q: Annotated[str, Field(max_length=limits.QUERY_CHARS)] = Field(description="A question or keywords")
    limit: Limit = 10
    min_score: Share | None = Field(None, description="Leave out memories below this score")
    explain: bool = Field(False, description="Whether to say what each part of the ranking adds")
    fold: bool = Field(True, description="Whether to leave out results that repeat an earlier one")


class LabelQuery(Body):
    """Names that contain a text."""

    contains: Annotated[str, Field(max_length=limits.LABEL_CHARS)] = ""
    limit: Annotated[int, Field(ge=1, le=limits.RESULTS)] = limits.RESULTS


class ActivityQuery(Body):
    """A time in which memories changed."""

    hours: Annotated[int, Field(ge=1, le=MOST_HOURS)] = Field(24, description="The number of hours, up to now")


class ForgetFilters(FilterBody):
    """Filters of memories to forget. They also match expired and superseded ones."""

    metadata: dict[str, Any] | None = None


class ForgetRequest(Body):
    """Memories to forget on every device, permanently: by their ids, or all that match filters.

    Several memories need `confirm`: the answer without it says how many there are, and has its value.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"filters": {"tags": ["draft"]}, "dry_run": True}]}
    )

    ids: Annotated[list[Id], Field(min_length=1, max_length=limits.RESULTS)] | None = None
    filters: ForgetFilters | None = None
    dry_run: bool = Field(False, description="Whether to count without forgetting")
    confirm: Annotated[str, Field(max_length=64)] | None = None
