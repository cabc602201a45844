"""Visitors and accounts, and what is known about their metadata."""

from __future__ import annotations

import dataclasses
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.failures import StreamFailed, TapError
from tap_pendo_pipedrive.core.stream import Page
from tap_pendo_pipedrive.streams.pendo import aggregation
from tap_pendo_pipedrive.streams.pendo.shaping import shape_row, snake_case
from tap_pendo_pipedrive.streams.pendo.stream import PendoStream

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.stream import Record

#: Rows of a request. No limit is documented; peers use 1,000 to 100,000.
ROWS: t.Final = 10_000
LAST_UPDATED: t.Final = "metadata.auto.lastupdated"

#: JSON types by the type that the metadata schema declares. It is a hint: integers come as texts
#: too, and some fields declare none.
_TYPES: t.Final[dict[str, list[str]]] = {
    "string": ["string"],
    "boolean": ["boolean", "string"],
    "integer": ["integer", "number", "string"],
    "float": ["number", "string"],
    "time": ["integer", "string"],
    "list": ["array", "string"],
}
_ANY: t.Final = ["object", "array", "string", "number", "boolean"]


def read_by_id(stream: PendoStream, pipeline: aggregation.Pipeline) -> Iterator[Page]:
    """Fetch rows so many at a time, each time from the last id on.

    Args:
        stream: The stream that asks.
        pipeline: What to ask for, sorted by id.

    Raises:
        StreamFailed: The API gives the same page again and again.
    """
    (id_name,) = pipeline.sort
    last: str | None = None
    limit = ROWS
    while True:
        # From the last id on, not behind it: an id may have a row for each application.
        beyond = None if last is None else f"{id_name} >= {aggregation.literal(last)}"
        conditions = [f"({each})" for each in (pipeline.where, beyond) if each]
        where = " && ".join(conditions) or None
        request = dataclasses.replace(pipeline, where=where, limit=limit).request(stream.name)
        with stream.client.fetch(request, aggregation.check) as body:
            rows = [row for rows in aggregation.rows(body) for row in rows]
        yield Page(rows, 1024 * len(rows))
        if len(rows) < limit:
            return
        following = str(rows[-1][id_name])
        if following == str(rows[0][id_name]):
            limit *= 2
        elif following == last:
            raise StreamFailed(
                f"{stream.name}: Pendo repeats a page instead of coming to an end. Run again later."
            )
        last = following


class PeopleStream(PendoStream):
    """Visitors or accounts, in the order of their ids.

    Attributes:
        source: Name of the aggregation's source.
        id_name: The attribute that identifies a row.
        kind: What the metadata schema calls them.
    """

    path = aggregation.PATH
    replication_key = "last_updated_at"
    filtered = True
    source: t.ClassVar[str]
    id_name: t.ClassVar[str]
    kind: t.ClassVar[str]

    @property
    def identified(self) -> str | None:
        """The attribute by which those who were never identified are left out."""
        return None

    def load_schema(self) -> dict[str, t.Any]:
        """Type the metadata from the account's own schema of it; it stays open for more."""
        schema = super().load_schema()
        try:
            groups = self.get_json(f"/api/v1/metadata/schema/{self.kind}", MetadataSchema)
        except TapError as reason:
            self.logger.warning("%s: its metadata stays untyped: %s", self.name, reason)
            self._tap.discovery_problems.append(reason)
            groups = {}
        schema["properties"]["metadata"]["properties"] = {
            group: {
                "type": ["object", "null"],
                "additionalProperties": True,
                "properties": {name: _property(field) for name, field in fields.items()},
            }
            for group, fields in groups.items()
        }
        return schema

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the rows that were updated since the start, or never."""
        del context
        where = None
        if span.start is not None:
            since = int(span.start.timestamp()) * 1000
            where = f"isNil({LAST_UPDATED}) || {LAST_UPDATED} >= {since}"
        yield from read_by_id(self, self.pipeline(where))

    def pipeline(self, where: str | None) -> aggregation.Pipeline:
        """Describe the rows to read."""
        return aggregation.Pipeline(
            self.source,
            {"appId": self.apps},
            identified=self.identified,
            where=where,
            sort=(self.id_name,),
            limit=ROWS,
        )

    def prepare(self, row: Record) -> Record:
        """Lift the time of the last update to the top."""
        record = shape_row(row)
        auto = (row.get("metadata") or {}).get("auto") or {}
        updated = auto.get("lastupdated")
        if not isinstance(updated, (int, float)):
            updated = 0
        record["last_updated_at"] = timestamps.from_epoch_ms(updated)
        return record


class Visitors(PeopleStream):
    """Visitors, with their metadata."""

    name = "pendo_visitors"
    primary_keys = ("visitor_id",)
    source = "visitors"
    id_name = "visitorId"
    kind = "visitor"

    @property
    def identified(self) -> str | None:
        """Anonymous visitors come by setting only."""
        return None if self.config["pendo_include_anonymous_visitors"] else self.id_name


class Accounts(PeopleStream):
    """Accounts, with their metadata."""

    name = "pendo_accounts"
    primary_keys = ("account_id",)
    source = "accounts"
    id_name = "accountId"
    kind = "account"


#: Field definitions by group and name.
MetadataSchema = dict[str, dict[str, dict[str, t.Any]]]


def _property(field: Record) -> dict[str, t.Any]:
    kinds = _TYPES.get(str(field.get("Type")), _ANY)
    return {"type": [*kinds, "null"], "description": str(field.get("DisplayName") or "")}


class MetadataStream(PendoStream):
    """Definitions of metadata fields, a record a field."""

    primary_keys = ("metadata_group", "field")

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the schema and make each field a row."""
        del context, span
        groups = self.get_json(self.path, MetadataSchema)
        rows = [
            {"metadata_group": group, "field": name, **definition}
            for group, fields in groups.items()
            for name, definition in fields.items()
        ]
        yield Page(rows, 512 * len(rows))

    def prepare(self, row: Record) -> Record:
        """Give definitions columns' names; their own ones begin with capitals in part."""
        return {snake_case(name): value for name, value in row.items()}


class VisitorMetadata(MetadataStream):
    """Metadata fields of visitors."""

    name = "pendo_visitor_metadata"
    path = "/api/v1/metadata/schema/visitor"


class AccountMetadata(MetadataStream):
    """Metadata fields of accounts."""

    name = "pendo_account_metadata"
    path = "/api/v1/metadata/schema/account"
