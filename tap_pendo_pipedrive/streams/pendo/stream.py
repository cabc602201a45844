"""The base of Pendo's lists."""

from __future__ import annotations

import functools
import re
import typing as t
from importlib import resources

import msgspec
from singer_sdk.schema.source import SchemaDirectory

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.http import BadBodyError, Request
from tap_pendo_pipedrive.core.stream import ApiStream, Page

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.stream import Record

_SCHEMAS: t.Final = SchemaDirectory(resources.files("tap_pendo_pipedrive.schemas.pendo"))
_WORD_START: t.Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@functools.lru_cache(maxsize=4096)
def snake_case(name: str) -> str:
    """Write an attribute's name as a column: ``lastUpdatedAt`` becomes ``last_updated_at``."""
    return _WORD_START.sub("_", name).lower()


#: Top-level attributes in epoch milliseconds whose names do not end in "At".
EPOCH_MS: t.Final = frozenset(
    {
        "day",
        "hour",
        "week",
        "month",
        "quarter",
        "first_time",
        "last_time",
        "browser_time",
        "received_time",
        "guide_timestamp",
        "time",
        "ts",
        "last_ts",
        "valid_through",
        "daily_merge_first",
        "daily_rollup_first",
        "shows_after",
        "expires_after",
        "last_key_frame_timestamp",
        "last_start_time",
    }
)


@functools.lru_cache(maxsize=4096)
def is_epoch_ms(column: str) -> bool:
    """Whether a top-level column is a time in epoch milliseconds."""
    return column.endswith("_at") or column in EPOCH_MS


def shape_row(row: Record) -> Record:
    """Rename a row's attributes to columns and write its times as RFC 3339."""
    return {
        (column := snake_case(name)): timestamps.from_epoch_ms(value)
        if value.__class__ is int and is_epoch_ms(column)
        else value
        for name, value in row.items()
    }


class PendoStream(ApiStream):
    """A stream of Pendo."""

    @functools.cached_property
    def schema(self) -> dict[str, t.Any]:
        """The stream's JSON schema."""
        return _SCHEMAS.get_schema(self.name.removeprefix("pendo_"))

    def prepare(self, row: Record) -> Record:
        """Give rows the columns' names and times."""
        return shape_row(row)


class ListStream(PendoStream):
    """A list that comes whole in one answer, as a bare array.

    Attributes:
        params: Query parameters.
        of_apps: Its objects belong to applications.
    """

    primary_keys = ("id",)
    replication_key = "last_updated_at"
    # Without it only the default application's objects come ("One-application responses").
    params: t.ClassVar[Mapping[str, str]] = {"expand": "*"}
    of_apps: t.ClassVar[bool] = True

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the list."""
        del context, span
        yield self.client.fetch(Request(self.name, self.path, self.params), self._read)

    def _read(self, body: bytes) -> Page:
        try:
            rows = msgspec.json.decode(body, type=list[t.Optional[dict[str, t.Any]]])  # noqa: UP045
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadBodyError(str(error)) from None
        return Page(self._of_apps([row for row in rows if row is not None]), len(body))

    def _of_apps(self, rows: list[Record]) -> list[Record]:
        wanted = set(self.config.get("pendo_app_ids") or ())
        if not wanted or not self.of_apps:
            return rows
        return [row for row in rows if wanted & {row.get("appId"), *(row.get("appIds") or ())}]
