"""Which objects exist: the API does not tell what was deleted, so their ids are listed.

A list that the same run has read in full is not read again.
"""

from __future__ import annotations

import array
import dataclasses
import datetime as dt
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.bookmarks import CLOCK_TOLERANCE
from tap_pendo_pipedrive.core.failures import StreamForbidden
from tap_pendo_pipedrive.core.stream import Outcome, Page
from tap_pendo_pipedrive.streams.pipedrive.activities import Activities, Notes
from tap_pendo_pipedrive.streams.pipedrive.contacts import Organizations, Persons
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream
from tap_pendo_pipedrive.streams.pipedrive.products import Products
from tap_pendo_pipedrive.streams.pipedrive.sales import ArchivingStream, Deals, Leads
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, Params, PipedriveStream

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.http import Client
    from tap_pendo_pipedrive.core.stream import Batch
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

Ids = t.Sequence[t.Union[int, str]]  # noqa: UP007 - an alias is evaluated on Python 3.10

ENTITIES: t.Final[dict[str, type[PipedriveStream]]] = {
    "activity": Activities,
    "deal": Deals,
    "lead": Leads,
    "note": Notes,
    "organization": Organizations,
    "person": Persons,
    "product": Products,
}


@dataclasses.dataclass
class Pass:
    """The ids that a run has met while it read a list.

    Attributes:
        began: When it began to.
        ids: Those of rows that are not deleted, page by page.
        is_whole: The list was read from its beginning to its end.
    """

    began: dt.datetime
    ids: list[Ids] = dataclasses.field(default_factory=list)
    is_whole: bool = False


class Census:
    """Keeps the ids of what a run reads, list by list."""

    def __init__(self) -> None:
        self._passes: dict[tuple[str, bool], Pass] = {}

    def watch(
        self, stream: PipedriveStream, context: Context | None, batches: Iterable[Batch]
    ) -> Iterator[Batch]:
        """Hand out the batches of a list that is read in full, and keep their ids."""
        found = self._passes[_key(stream, context)] = Pass(dt.datetime.now(timestamps.UTC))
        span = stream.span(context)
        # Without all columns a row may not say that it is deleted.
        if span.start or span.end or not all(stream.mask.values()):
            yield from batches
            return
        for batch in batches:
            alive = [row["id"] for row in batch.records if not row.get("is_deleted")]
            # A list of numbers would take five times the memory.
            numbers = bool(alive) and isinstance(alive[0], int)
            found.ids.append(array.array("q", alive) if numbers else alive)
            yield batch
        found.is_whole = True

    def of(self, stream: PipedriveStream, context: Context | None) -> Pass | None:
        """The ids of a list, if it was read in full and the stream to its end."""
        found = self._passes.get(_key(stream, context))
        complete = stream.report.outcome is Outcome.COMPLETE
        return found if complete and found and found.is_whole else None


def _key(stream: PipedriveStream, context: Context | None) -> tuple[str, bool]:
    return stream.name, bool((context or {}).get("is_archived"))


class LiveIds(PipedriveStream):
    """The ids of all objects that exist now; what is missing was deleted, merged or converted.

    Costs a request for each 500 objects that the run does not read in full anyway.
    """

    name = "pipedrive_live_ids"
    path = "the lists of these"
    primary_keys = ("entity", "id")
    selected_by_default = False
    comes_last = True
    #: The streams that read the lists, by entity.
    sources: dict[str, PipedriveStream]

    def __init__(self, tap: TapPendoPipedrive, client: Client) -> None:
        super().__init__(tap, client)
        self.census = Census()

    def fetch_ahead(self) -> None:
        """Wait: only when the lists' own streams are through, is it known what is left to do."""

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """List the ids of each entity that the credentials may read."""
        del context, span
        for entity in self.sources:
            for ids in self._ids_of(entity):
                yield Page([{"entity": entity, "id": str(each)} for each in ids], 64 * len(ids))

    def _ids_of(self, entity: str) -> Iterator[Ids]:
        try:
            yield from self._read(self.sources[entity])
        except StreamForbidden as reason:
            self.logger.warning("%s: without the ids of %s: %s", self.name, entity, reason)

    def _read(self, source: PipedriveStream) -> Iterator[Ids]:
        for context in _lists_of(source):
            known = self.census.of(source, context)
            if known is None:
                yield from self._walk(source, context, {**source.by_id, **_narrow(source)})
                continue
            yield from known.ids
            if source.has_until and len(known.ids) > 1:
                # A row that was edited may have gone from a window to one that was read before.
                since = timestamps.whole_seconds(known.began - CLOCK_TOLERANCE)
                yield from self._walk(source, context, {"updated_since": since})

    def _walk(
        self, source: PipedriveStream, context: Context | None, params: Params
    ) -> Iterator[Ids]:
        request = dataclasses.replace(source.request(context, {}), stream=self.name, params=params)
        for page in source.follow(request):
            yield [row["id"] for row in page.decode() if not row.get("is_deleted")]


def _narrow(source: PipedriveStream) -> Params:
    """Ask for one custom field, if it is known without a request: none at all cannot be said."""
    if not (isinstance(source, CustomFieldStream) and isinstance(source, CursorStream)):
        return {}
    codes = source.fields.codes_so_far()
    return {"custom_fields": codes[0]} if codes else {}


def _lists_of(source: PipedriveStream) -> Sequence[Context | None]:
    """The lists that hold an entity, archived objects too, whatever the settings leave out."""
    if isinstance(source, ArchivingStream):
        return [{"is_archived": False}, {"is_archived": True}]
    return [None]
