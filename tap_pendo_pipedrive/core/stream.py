"""The base of every stream: pages in, shaped records and safe bookmarks out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import functools
import logging
import operator
import types
import typing as t
from decimal import Decimal

import msgspec
from singer_sdk import Stream
from singer_sdk.exceptions import AbortedSyncFailedException, AbortedSyncPausedException
from singer_sdk.helpers._catalog import get_selected_schema
from singer_sdk.helpers._state import get_state_if_exists
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.bookmarks import (
    FULL_READ,
    LEARNED,
    PROGRESS,
    STARTED_AT,
    Bookmark,
    Span,
)
from tap_pendo_pipedrive.core.drift import Watch, row_type
from tap_pendo_pipedrive.core.failures import (
    BudgetExhausted,
    StreamFailed,
    StreamForbidden,
    TapError,
)
from tap_pendo_pipedrive.core.prefetch import Prefetcher
from tap_pendo_pipedrive.core.shaping import compile_shaper

if t.TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.http import Client
    from tap_pendo_pipedrive.core.messages import MessageWriter
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

Record = dict[str, t.Any]

_TEXT: t.Any = t.Optional[str]  # noqa: UP045 - evaluated by msgspec on Python 3.10
_ROW = t.Optional[dict[str, t.Any]]  # noqa: UP045 - evaluated by msgspec on Python 3.10
_DECODE_ROW: t.Final = msgspec.json.Decoder(_ROW, float_hook=Decimal).decode
_DECODE_ROWS: t.Final = msgspec.json.Decoder(list[_ROW]).decode


@dataclasses.dataclass(frozen=True)
class Page:
    """The rows of one answer.

    Attributes:
        rows: The rows, decoded or each for itself not decoded yet; or all of them as one JSON array
            that is not decoded yet, whose numbers need not keep their decimals as written.
        size: Bytes that it holds in memory, about.
        one_line: No row that is not decoded has a line break, so that each can stand in a message.
        progress: What the state says once these rows and all before them are written; None where
            the rows' own replication key says it.
        fetched: When the answer came.
    """

    rows: list[Record] | list[msgspec.Raw] | msgspec.Raw
    size: int
    progress: Mapping[str, t.Any] | None = dataclasses.field(default=None, kw_only=True)
    one_line: bool = dataclasses.field(default=False, kw_only=True)
    fetched: dt.datetime = dataclasses.field(
        default_factory=lambda: dt.datetime.now(timestamps.UTC), kw_only=True
    )

    def decode(self) -> list[Record]:
        """Return the rows. Rows that are null are left out."""
        if isinstance(self.rows, msgspec.Raw):
            rows = _DECODE_ROWS(self.rows)
        elif self.is_decoded:
            return t.cast("list[Record]", self.rows)
        else:
            rows = [_DECODE_ROW(row) for row in t.cast("list[msgspec.Raw]", self.rows)]
        return [row for row in rows if row is not None]

    @property
    def is_decoded(self) -> bool:
        """Whether the rows are decoded, or there are none."""
        rows = self.rows
        return isinstance(rows, list) and not (rows and isinstance(rows[0], msgspec.Raw))


@dataclasses.dataclass
class Batch:
    """Shaped records that are written together, after the children of all of them."""

    records: list[Record]
    fetched: dt.datetime
    progress: Mapping[str, t.Any] | None = None

    #: Whether the records are written as they are: they have their partition's attributes already,
    #: and no children.
    is_final: t.ClassVar[bool] = False

    def __len__(self) -> int:
        """The number of records."""
        return len(self.records)

    def write(self, writer: MessageWriter, stream: str, version: int | None) -> int:
        """Write the records, and return their number."""
        writer.write_records(stream, self.records, version=version, time_extracted=self.fetched)
        return len(self.records)

    def values(self, key: str) -> list[t.Any]:
        """The records' values of the replication key."""
        return [record.get(key) for record in self.records]


#: Reads a page whose rows all fit the schema, without a look at each of them; None if they do not.
PageReader = t.Callable[[Page], t.Optional[Batch]]  # noqa: UP045 - evaluated on Python 3.10


class UntouchedBatch(Batch):
    """A page whose rows are records as they stand: they are written as the API wrote them.

    Args:
        page: The page.
        values: The rows' values of the replication key.
    """

    is_final = True

    def __init__(self, page: Page, values: list[str | None]) -> None:
        self.fetched = page.fetched
        self.progress = page.progress
        self._page = page
        self._rows = t.cast("list[msgspec.Raw]", page.rows)
        self._values = values

    def __len__(self) -> int:
        """The number of records."""
        return len(self._rows)

    @functools.cached_property
    def records(self) -> list[Record]:  # type: ignore[override]  # decoded if anyone needs them
        """The rows, decoded."""
        return self._page.decode()

    def write(self, writer: MessageWriter, stream: str, version: int | None) -> int:
        """Write the rows as they are, and return their number."""
        writer.write_rows(stream, self._rows, version=version, time_extracted=self.fetched)
        return len(self)

    def values(self, key: str) -> list[t.Any]:
        """The rows' values of the replication key."""
        del key
        return self._values


class Outcome(enum.Enum):
    """How a stream ended."""

    PENDING = "not started"
    COMPLETE = "complete"
    FORBIDDEN = "skipped as forbidden"
    STOPPED = "stopped on the API budget"
    FAILED = "failed"


@dataclasses.dataclass
class Report:
    """What a run did with a stream, for the summary at its end."""

    outcome: Outcome = Outcome.PENDING
    records: int = 0
    seconds: float = 0.0


class ApiStream(Stream):
    """A stream whose records come in pages from one of the services.

    A subclass says where its pages come from (:meth:`pages`) and by class attributes what is true
    of them. Pages are fetched ahead in threads; everything else happens on the main thread.

    Attributes:
        path: Path of the endpoint, as the vendor documents it.
        token_cost: API tokens that a request costs; 0 where the API counts none.
        filtered: The API filters by time itself; otherwise the tap drops older rows.
        in_order: Rows come in ascending order of the replication key, so that the bookmark may
            follow each row.
        in_windows: The bookmark follows windows of time instead of rows, whose order is not told.
        gated: Only some plans or add-ons have the endpoint.
        reads_all: A full-table run reads all that there is. If not, it goes on where the last one
            ended.
        comes_last: Needs what the other streams have read.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # The compiled shaper does it.

    path: t.ClassVar[str]
    token_cost: t.ClassVar[int] = 0
    reads_all: t.ClassVar[bool] = True
    comes_last: t.ClassVar[bool] = False
    filtered: t.ClassVar[bool] = False
    in_order: t.ClassVar[bool] = False
    in_windows: t.ClassVar[bool] = False
    gated: t.ClassVar[bool] = False

    _tap: TapPendoPipedrive

    def __init__(self, tap: TapPendoPipedrive, client: Client) -> None:
        super().__init__(tap)
        self.client = client
        self.report = Report()
        self.parent: ApiStream | None = None
        self.allowance = tap.allowance
        self._ahead: dict[tuple[t.Any, ...], Prefetcher[Page]] = {}
        self._bookmark: Bookmark | None = None
        self._holds_bookmark = False
        self._has_schema_message = False

    # What a stream declares.

    def pages(self, context: Context | None, span: Span) -> Iterable[Page]:
        """Fetch the pages of a partition, in a worker thread.

        Args:
            context: The partition or parent.
            span: Which rows are wanted, for streams that the API filters.
        """
        raise NotImplementedError

    def is_filtered(self, context: Context | None) -> bool:
        """Whether the API itself leaves out a partition's rows from before the start."""
        del context
        return self.filtered

    def converters(self) -> Mapping[str, Callable[[t.Any], t.Any]]:
        """Conversions by column that this stream needs before those of its schema."""
        return {}

    #: How much before its bookmark a stream starts, since rows may come late.
    lookback: dt.timedelta = dt.timedelta()
    #: The API may write "no date" as an empty text or as zeros.
    dates_may_be_empty: t.ClassVar[bool] = True
    #: Rearranges a row before it is shaped; None where rows need not be.
    prepare: Callable[[Record], Record] | None = None

    @property
    def selected(self) -> bool:
        """Whether the catalog selects the stream. One that it lacks needs no schema to tell."""
        given = self._tap.input_catalog
        return (given is None or self.name in given) and bool(self.mask.get((), True))

    @selected.setter
    def selected(self, value: bool | None) -> None:
        self.metadata.root.selected = value
        self._mask = self.metadata.resolve_selection()

    @property
    def is_wanted(self) -> bool:
        """Whether the catalog selects the stream or one of its children."""
        return self.selected or self.has_selected_descendents

    # From pages to batches of records.

    def span(self, context: Context | None) -> Span:
        """Tell which rows are wanted, from the bookmark and the settings.

        Raises:
            StreamFailed: The state cannot be read.
        """
        if self.name in self._tap.unreadable_bookmarks:
            raise StreamFailed(
                f"{self.name}: its part of the state is not readable. Correct the state, or remove"
                " the stream's bookmark to read it again."
            )
        if self.replication_key is None or self.replication_method != "INCREMENTAL":
            return Span()
        state = self.known_state(context)
        return Span.of(self.name, self.replication_key, state, self.config, self.lookback)

    def known_state(self, context: Context | None) -> Mapping[str, t.Any]:
        """A partition's state, to read: it is never created here, so that threads may ask."""
        partition = self._get_state_partition_context(context)
        return get_state_if_exists(self.tap_state, self.name, partition) or {}

    def fetch_ahead(self) -> None:
        """Start to fetch the stream's first pages, before its turn to be written."""
        try:
            for context in self.partitions or (None,):
                self._pages_of(context)
        except TapError:
            self.close()  # The error comes again when it is the stream's turn.

    def close(self) -> None:
        """Stop to fetch."""
        for prefetcher in self._ahead.values():
            prefetcher.close()
        self._ahead.clear()

    def _pages_of(self, context: Context | None) -> Prefetcher[Page]:
        key = _key(context)
        if key not in self._ahead:
            pages = self.pages(context, self.span(context))
            self._ahead[key] = Prefetcher(pages, self.allowance)
        return self._ahead[key]

    def batches(self, context: Context | None) -> Iterator[Batch]:
        """Yield the shaped records of a partition, page by page."""
        span = self.span(context)
        prefetcher = self._pages_of(context)
        state = self.get_context_state(context)
        select = None
        if (key := self.replication_key) and self.replication_method == "INCREMENTAL":
            self._bookmark = Bookmark(self.name, state, key, in_order=self.in_order)
            filtered = self.is_filtered(context)
            if filtered and span.start is None:
                state[FULL_READ] = True
            select = (dataclasses.replace(span, start=None) if filtered else span).selector()
        try:
            for page in prefetcher:
                batch = self._batch(page, select)
                if batch or batch.progress:
                    yield batch
        finally:
            prefetcher.close()
            self._ahead.pop(_key(context), None)

    def _batch(self, page: Page, select: Callable[[t.Any], bool] | None) -> Batch:
        """Shape the rows of a page, and leave out those that are not selected."""
        key = self.replication_key or ""
        batch = self._read_page(page) if self._read_page is not None else None
        if batch is not None and (select is None or all(map(select, batch.values(key)))):
            return batch
        records = page.decode()
        if self.prepare is not None:
            records = [self.prepare(record) for record in records]
        if (shape := self._shaper) is not None:
            records = [shape(record) for record in records]
        if select is not None:
            records = [record for record in records if select(record.get(key))]
        self._keep_up_with(records)
        return Batch(records, page.fetched, page.progress)

    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the shaped records of a partition, for the SDK's own way to write them."""
        for batch in self.batches(context):
            yield from batch.records
            self._note_progress(batch.progress, context)
        self._note_all_read(context)

    def _note_all_read(self, context: Context | None) -> None:
        """Note in the state, after the last record was written, that nothing is owed."""
        self.get_context_state(context).pop(FULL_READ, None)

    @functools.cached_property
    def _shaper(self) -> Callable[[Record], Record] | None:
        # A deselected stream is read for its children, who may need any attribute.
        mask = self.mask if self.selected else None
        return compile_shaper(
            self.effective_schema, mask, self.converters(), clean_dates=self.dates_may_be_empty
        )

    # Schema drift.

    def property_of(self, path: tuple[str, ...]) -> dict[str, t.Any] | None:
        """The JSON schema of an attribute that the catalog lacks, if the stream knows one."""
        definition: dict[str, t.Any] | None = self.schema
        for name in path:
            definition = (definition or {}).get("properties", {}).get(name)
        return definition

    @functools.cached_property
    def _watch(self) -> Watch:
        return Watch(
            self.effective_schema,
            keys=self.primary_keys,
            learned=self.stream_state.get(LEARNED),
            property_of=self.property_of,
        )

    def _keep_up_with(self, records: list[Record]) -> None:
        """Send the schema again, wider, before records that do not fit it."""
        if not self._has_schema_message:
            return  # The stream is not selected, or only tested.
        if found := self._watch.widen(records):
            self.logger.warning(
                "%s: the catalog does not tell of all that the API answers. The schema is sent"
                " again with: %s",
                self.name,
                ", ".join(found),
            )
            self._take_schema(self._watch.schema)
            super()._write_schema_message()
            # The next run starts with these columns, and so keeps their types.
            if learned := self._watch.learned:
                self.stream_state[LEARNED] = learned

    def _take_schema(self, schema: dict[str, t.Any]) -> None:
        """Use a schema from here on."""
        self._input_schema = schema
        for derived in ("prepare", "_shaper", "_read_page"):
            self.__dict__.pop(derived, None)
        selected = get_selected_schema(self.name, schema, self.mask)
        self._tap.mapper.register_raw_stream_schema(self.name, selected, self.primary_keys)
        self._stream_maps = self._tap.mapper.stream_maps[self.name]

    @functools.cached_property
    def _read_page(self) -> PageReader | None:
        """Reads a page at once; None where something is to be done with each record."""
        plain = self._has_schema_message and self._is_plain and not self.has_selected_descendents
        return self.page_reader() if plain and all(self.mask.values()) else None

    def page_reader(self) -> PageReader | None:
        """Build what reads a page at once, if all its rows fit the schema as it is now.

        Returns:
            By default what takes rows as they stand; None where they need be changed.
        """
        if self.prepare is not None or self.converters():
            return None
        key = self.replication_key
        partition = {name for each in self.partitions or () for name in each}
        required, types = (partition | {key}, {key: _TEXT}) if key else (partition, {})
        row = row_type(self.effective_schema, required=required, types=types)
        decode = msgspec.json.Decoder(row).decode
        fields = {field.encode_name: field.name for field in msgspec.structs.fields(row)}
        value_of = operator.attrgetter(fields[key]) if key else _nothing

        def read(page: Page) -> UntouchedBatch | None:
            if page.is_decoded or not page.one_line:
                return None
            rows = t.cast("list[msgspec.Raw]", page.rows)
            try:
                values = [value_of(decode(row)) for row in rows]
            except msgspec.ValidationError:
                return None
            # Dates of zeros have to become null.
            if min(filter(None, values), default="1") < "1":
                return None
            return UntouchedBatch(page, values)

        return read

    # From records to messages.

    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, t.Any, t.Any]:
        """Sync the records and note how that ended."""
        try:
            if write_messages and self._is_plain:
                self._sync_pages(context)
            else:
                records = super()._sync_records(context, write_messages=write_messages)
                for record in records:
                    self.report.records += 1
                    yield record
        except TapError as reason:
            self.end_early(reason)
        else:
            if self.report.outcome is Outcome.PENDING:
                self.report.outcome = Outcome.COMPLETE

    @property
    def _is_plain(self) -> bool:
        """Whether records go out as they are, so that they can be written a page at a time.

        Stream maps and flattening change them; `--test` counts them.
        """
        if not self._in_catalog:
            return True
        first, *others = self.stream_maps
        plain = type(first) is SameRecordTransform and not first.flattening_enabled
        return plain and not others and self.ABORT_AT_RECORD_COUNT is None

    @property
    def _in_catalog(self) -> bool:
        """Whether the catalog has the stream; if not, it is read for its children at most."""
        return self.name in self._tap.mapper.stream_maps

    def passes_filter(self, record: Record) -> bool:
        """Whether the stream's own map lets a record through; only then its children count."""
        return not self._in_catalog or self.stream_maps[0].get_filter_result(record)

    def _process_record(
        self,
        record: Record,
        child_context: Context | None = None,
        partition_context: Context | None = None,
    ) -> None:
        """Sync the children that are due with a record, whether or not a map filters it out."""
        for name, value in (partition_context or {}).items():
            record.setdefault(name, value)
        for parents in self.generate_child_contexts(record, child_context):
            self._sync_children(parents)

    def _sync_pages(self, context: Context | None) -> None:
        """Do what the SDK does record by record, page by page."""
        contexts = [context] if context is not None else self.partitions or (None,)
        with contextlib.ExitStack() as metrics:
            count: Callable[[int], None] = _ignore
            if self.parent is None:
                # Children are asked for in many small parts; the summary counts them together.
                count = metrics.enter_context(self.get_record_counter()).increment
                metrics.enter_context(self.get_sync_timer())
            for current in contexts:
                self._write_starting_replication_value(current)
                for batch in self.batches(current):
                    count(self._sync_batch(batch, current))
                self._note_all_read(current)
                if current and current == self._get_state_partition_context(current):
                    self._finalize_state(self.get_context_state(current))
        if not context:
            self._finalize_state(self.stream_state)
        self._write_state_message()

    def _sync_batch(self, batch: Batch, context: Context | None) -> int:
        """Write the children of a batch, then the batch, then move the bookmark.

        Returns:
            The number of records written.
        """
        if not batch.is_final:
            for name, value in (self._get_state_partition_context(context) or {}).items():
                for record in batch.records:
                    record.setdefault(name, value)
            for record in batch.records[:1]:
                for parents in self.generate_child_contexts(record, context):
                    self._sync_children(parents)
        if not self.selected:
            return 0
        writer = t.cast("MessageWriter", self._tap.message_writer)
        count = batch.write(writer, self.name, self._stream_version)
        self._advance(batch)
        self._note_progress(batch.progress, context)
        before, self.report.records = self.report.records, self.report.records + count
        if self.report.records // self.STATE_MSG_FREQUENCY > before // self.STATE_MSG_FREQUENCY:
            self._write_state_message()
        return count

    def _write_schema_message(self) -> None:
        """Write the schema once, and the children's, who may get no record and yet a table."""
        if not self._has_schema_message:
            self._has_schema_message = True
            if self.emit_activate_version_messages:
                self._stream_version = self._initialized_at // 1000
            if self._watch.learned:
                self._take_schema(self._watch.schema)
            super()._write_schema_message()
            for child in self.child_streams:
                if child.selected:
                    child._write_schema_message()  # noqa: SLF001 - the same class

    @property
    def replaces_table(self) -> bool:
        """Whether a run brings all rows that there are, so that any others are gone."""
        whole = self.reads_all and self.replication_method == "FULL_TABLE"
        return whole and (self.parent is None or self.parent.replaces_table)

    @property
    def emit_activate_version_messages(self) -> bool:
        """Whether records carry a version of the table. The files of BATCH messages have none."""
        if not self.config["emit_activate_version_messages"] or not self.replaces_table:
            return False
        # target-postgres ends with an error where the table has a column of this name.
        has_such_column = "version" in self.effective_schema["properties"]
        return not has_such_column and self.get_batch_config(self.config) is None

    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Write nothing at the start: old rows shall stay until all new ones are there."""

    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterable[Context | None]:
        """Yield nothing; a stream with children yields the parents that they are asked for by."""
        del record, context
        return ()

    @property
    def goes_on(self) -> bool:
        """Whether it makes sense to ask for more: nothing has ended the stream."""
        return self.report.outcome in {Outcome.PENDING, Outcome.COMPLETE}

    def _sync_children(self, child_context: Context | None) -> None:
        """Sync the children of a batch of parents, without the SDK's log lines for each."""
        for child in t.cast("list[ApiStream]", self.child_streams):
            if child.is_wanted and child.goes_on and child_context is not None:
                try:
                    child.sync_of(child_context)
                except (AbortedSyncFailedException, AbortedSyncPausedException):
                    continue  # `--test` has seen enough of it.

    def sync_of(self, parents: Context) -> None:
        """Sync this stream's records of some parents."""
        self.context = types.MappingProxyType(dict(parents))
        if self.selected:
            self._write_schema_message()
        if batch_config := self.get_batch_config(self.config):
            self._sync_batches(batch_config, context=parents)
        else:
            for _ in self._sync_records(context=parents):
                pass

    # Bookmarks.

    @property
    def is_sorted(self) -> bool:
        """Whether a bookmark may follow each row."""
        return self.in_order

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Leave the bookmark uncapped: rows come in order, or all in one answer.

        The SDK would cap it by this machine's clock, which need not agree with the API's.
        """

    def _write_starting_replication_value(self, context: Context | None) -> None:
        self.span(context)  # Names the stream when its state cannot be read; the SDK does not.
        super()._write_starting_replication_value(context)

    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        del context
        self._advance(Batch([latest_record], dt.datetime.now(timestamps.UTC)))

    def _advance(self, batch: Batch) -> None:
        """Move the bookmark behind records that were written."""
        self.state_manager.is_flushed = False
        if self._bookmark is not None and not (self._holds_bookmark or self.in_windows):
            self._bookmark.advance(batch.values(self._bookmark.key))

    def _note_progress(self, progress: Mapping[str, t.Any] | None, context: Context | None) -> None:
        """Put into the state what a page says now that it and all before it are written."""
        if progress and not self._holds_bookmark:
            self.get_context_state(context).update(progress)
            self.state_manager.is_flushed = False
            if self.get_batch_config(self.config) is None:
                self._write_state_message()  # A window may have few rows and yet cost much.

    def hold_bookmark(self) -> None:
        """Keep the bookmark where it is: rows that follow are written without their children."""
        self._holds_bookmark = True
        for state in self._states():
            state.pop(PROGRESS, None)

    def finalize_state_progress_markers(self, state: dict[str, t.Any] | None = None) -> None:
        """Let the bookmark of a complete stream count; forget the progress of any other."""
        if self.report.outcome is Outcome.COMPLETE:
            super().finalize_state_progress_markers(state)
            return
        for each in self._states():
            for marker in (PROGRESS, STARTED_AT):
                each.pop(marker, None)
        self.state_manager.is_flushed = False
        self._write_state_message()

    def _states(self) -> Iterator[dict[str, t.Any]]:
        yield self.stream_state
        yield from self.stream_state.get("partitions", [])

    # How it ends.

    def close_books(self) -> None:
        """Say of this stream and its children, whose turn is over, how far they are complete."""
        complete = self.report.outcome is Outcome.COMPLETE
        if complete and self._stream_version is not None:
            # All rows are there: the target can remove those of before.
            super()._write_activate_version_message(self._stream_version)
        self.finalize_state_progress_markers()
        for child in t.cast("list[ApiStream]", self.child_streams):
            if not child.is_wanted:
                continue
            if child.goes_on:
                child.report.outcome = self.report.outcome  # It has had as many parents as came.
            child.close()
            child.close_books()

    def end_early(self, reason: Exception) -> None:
        """Note why the stream ended before its end, and leave every bookmark where it is safe."""
        outcome = next(
            (outcome for kind, outcome in _OUTCOMES if isinstance(reason, kind)), Outcome.FAILED
        )
        self.report.outcome = outcome
        level = logging.ERROR if outcome is Outcome.FAILED else logging.WARNING
        self.logger.log(level, "%s %s: %s", self.name, outcome.value, reason)
        if outcome is not Outcome.FORBIDDEN and self.parent is not None:
            self.parent.hold_bookmark()


#: Every other error fails the stream.
_OUTCOMES: t.Final = (
    (StreamForbidden, Outcome.FORBIDDEN),
    (BudgetExhausted, Outcome.STOPPED),
)


def _ignore(_count: int) -> None:
    """Count nothing."""


def _nothing(_row: msgspec.Struct) -> None:
    """The value of no key."""


def _key(context: Context | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in (context or {}).items()))
