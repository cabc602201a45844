"""The bases of Pipedrive's streams, one for each way to page."""

from __future__ import annotations

import copy
import dataclasses
import functools
import typing as t
from importlib import resources

from singer_sdk.schema.source import SchemaDirectory

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.bookmarks import Span
from tap_pendo_pipedrive.core.http import Request
from tap_pendo_pipedrive.core.stream import ApiStream, Page
from tap_pendo_pipedrive.streams.pipedrive import pages
from tap_pendo_pipedrive.streams.pipedrive.windows import read_in_windows

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.stream import Batch
    from tap_pendo_pipedrive.streams.pipedrive.live_ids import LiveIds

Params = dict[str, t.Union[str, int]]  # noqa: UP007 - an alias is evaluated on Python 3.10

_SCHEMAS: t.Final = SchemaDirectory(resources.files("tap_pendo_pipedrive.schemas.pipedrive"))


class PipedriveStream(ApiStream):
    """A list of Pipedrive.

    Attributes:
        params: Query parameters of every request.
        include_fields: Attributes that the API leaves out unless asked for them.
        rows_in: Where the rows are, if an answer's `data` is not a list of them.
        has_until: The API can also leave out rows from an end on.
    """

    params: t.ClassVar[Params] = {}
    #: How the list is asked to be sorted by the replication key, or by id.
    ascending: t.ClassVar[Params] = {}
    descending: t.ClassVar[Params] = {}
    has_until: t.ClassVar[bool] = False
    by_id: t.ClassVar[Params] = {}
    include_fields: t.ClassVar[tuple[str, ...]] = ()
    #: The stream that wants to know the ids of all rows, if there is one.
    live_ids: LiveIds | None = None
    rows_in: t.ClassVar[pages.RowsIn | None] = None

    @functools.cached_property
    def schema(self) -> dict[str, t.Any]:
        """The stream's JSON schema."""
        return self.load_schema()

    def load_schema(self) -> dict[str, t.Any]:
        """Read the schema that comes with the package."""
        return copy.deepcopy(_SCHEMAS.get_schema(self.name.removeprefix("pipedrive_")))

    def request(self, context: Context | None, params: Mapping[str, str | int]) -> Request:
        """Describe a request of this stream."""
        asked: Params = {**self.params, **params}
        if self.include_fields:
            asked["include_fields"] = ",".join(self.include_fields)
        return Request(
            stream=self.name,
            path=self.path_of(context),
            params=asked,
            cost=self.cost_of(context),
            gated=self.gated,
            of_parent=self.parent_stream_type is not None,
        )

    def path_of(self, context: Context | None) -> str:
        """The path of a partition."""
        del context
        return self.path

    def cost_of(self, context: Context | None) -> int:
        """The API tokens that a request for a partition costs."""
        del context
        return self.token_cost

    def walk(self, context: Context | None, params: Params) -> Iterator[pages.Answered]:
        """Fetch a list's pages."""
        return self.follow(self.request(context, params))

    def follow(self, request: Request) -> Iterator[pages.Answered]:
        """Fetch all pages of what a request asks for."""
        raise NotImplementedError

    def batches(self, context: Context | None) -> Iterator[Batch]:
        """Yield the records of a partition, and let their ids be kept if they are wanted."""
        batches = super().batches(context)
        if self.live_ids is None or not self.live_ids.selected:
            return batches
        return self.live_ids.census.watch(self, context, batches)

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch what changed within a span, or everything."""
        if not self.is_filtered(context):
            span = Span()
        yield from self.walk_span(context, span)
        if span.with_nulls:
            yield from self.owed_nulls(context)

    def owed_nulls(self, context: Context | None) -> Iterator[Page]:
        """Fetch the rows without an update time that a filter by time has left out.

        They are owed by a first reading that did not reach its end, or did so in windows, where
        the API sorts them last. Sorted down, they come first.
        """
        down = self.walk(context, self.descending)
        yield from pages.owed_nulls(down, self.replication_key or "")

    def walk_span(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the rows of a span in one walk."""
        yield from self.walk(context, self.within(span.start, span.end))

    def within(self, start: dt.datetime | None, end: dt.datetime | None) -> Params:
        """Write a span as query parameters.

        Without a start nothing is filtered, so that rows without an update time come too.
        """
        params = dict(self.ascending) if self.in_order else {}
        if start is not None:
            params["updated_since"] = timestamps.whole_seconds(start)
            if end is not None and self.has_until:
                params["updated_until"] = timestamps.ceil_seconds(end)
        return params


class CursorStream(PipedriveStream):
    """A v2 list, paged by cursor.

    Sorting by update time keeps a walk complete while rows change: they move to the tail.
    """

    token_cost = 10
    by_id: t.ClassVar[Params] = {"sort_by": "id", "sort_direction": "asc"}
    ascending: t.ClassVar[Params] = {"sort_by": "update_time", "sort_direction": "asc"}
    descending: t.ClassVar[Params] = {"sort_by": "update_time", "sort_direction": "desc"}

    def follow(self, request: Request) -> Iterator[pages.Answered]:
        """Follow the list's cursors."""
        params = {"limit": pages.LARGEST_PAGE, **request.params}
        return pages.cursor_pages(self.client, dataclasses.replace(request, params=params))

    def walk_span(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the rows of a span, in windows at once if they are many."""
        if not (self.has_until and self.is_filtered(context)):
            yield from super().walk_span(context, span)
            return
        cut = False

        def walk(start: dt.datetime | None, end: dt.datetime | None) -> Iterator[pages.Answered]:
            nonlocal cut
            cut = cut or start != span.start
            return self.walk(context, self.within(start, end))

        width = self.client.governor.concurrency
        yield from read_in_windows(
            walk, span.start, span.end, allowance=self.allowance, width=width
        )
        if cut and span.start is None:
            yield from self.owed_nulls(context)


class WholeStream(PipedriveStream):
    """A v2 list that comes in one answer, in any order."""

    token_cost = 10

    def follow(self, request: Request) -> Iterator[pages.Answered]:
        """Fetch the list."""
        return pages.single_page(self.client, request, self.rows_in)


class V1Stream(WholeStream):
    """A v1 list that comes in one answer, in any order."""

    token_cost = 20

    def converters(self) -> Mapping[str, Callable[[t.Any], t.Any]]:
        """V1 writes ``YYYY-MM-DD HH:MM:SS`` in UTC, and zeros for never ("Date format")."""
        return _v1_times(self.effective_schema)


class OffsetStream(V1Stream):
    """A v1 list, paged by offset.

    Attributes:
        page_size: Rows a page at most.
        tells_more: Answers say whether more rows follow. Where they do not and no largest page is
            documented, a short page need not be the last.
    """

    page_size: t.ClassVar[int] = pages.LARGEST_PAGE
    by_id: t.ClassVar[Params] = {"sort": "id ASC"}
    tells_more: t.ClassVar[bool] = True
    ascending: t.ClassVar[Params] = {"sort": "update_time ASC"}
    descending: t.ClassVar[Params] = {"sort": "update_time DESC"}

    def follow(self, request: Request) -> Iterator[pages.Answered]:
        """Walk the list's offsets."""
        listed = pages.OffsetList(
            request,
            self.page_size,
            self.primary_keys,
            rows_in=self.rows_in,
            tells_more=self.tells_more,
        )
        return pages.offset_pages(self.client, listed, self.allowance)


def _v1_times(schema: Mapping[str, t.Any]) -> dict[str, Callable[[t.Any], t.Any]]:
    """Conversions of the times in a record, and in the objects in it, by column."""
    found: dict[str, Callable[[t.Any], t.Any]] = {}
    for name, definition in schema.get("properties", {}).items():
        if definition.get("format") == "date-time":
            found[name] = timestamps.from_v1
        elif "properties" in definition and (inside := _v1_times(definition)):
            found[name] = functools.partial(_convert, inside)
    return found


def _convert(converters: Mapping[str, Callable[[t.Any], t.Any]], value: t.Any) -> t.Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        for name, convert in converters.items():
            if value.get(name) is not None:
                value[name] = convert(value[name])
    return value
