"""The base of every stream: pages in, shaped records and safe bookmarks out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import functools
import logging
import typing as t
from decimal import Decimal

import msgspec
from singer_sdk import Stream
from singer_sdk.helpers._state import get_state_if_exists
from singer_sdk.helpers.conform import TypeConformanceLevel

from tap_pendo_pipedrive.core import timestamps
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
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

Record = dict[str, t.Any]

#: A bookmark never runs further ahead of this machine's clock: a record with a date in the far
#: future would hide every later change.
CLOCK_TOLERANCE: t.Final = dt.timedelta(minutes=10)

PROGRESS: t.Final = "progress_markers"
#: In the state while a first, unfiltered reading is not complete.
FULL_READ: t.Final = "full_read_incomplete"

_DECODE_ROWS: t.Final = msgspec.json.Decoder(
    list[t.Optional[dict[str, t.Any]]],  # noqa: UP045 - evaluated by msgspec on Python 3.10
    float_hook=Decimal,
).decode


@dataclasses.dataclass(frozen=True)
class Page:
    """The rows of one answer.

    Attributes:
        rows: A JSON array that is not decoded yet, or decoded rows.
        size: Bytes that it holds in memory, about.
    """

    rows: msgspec.Raw | list[Record]
    size: int

    def decode(self) -> list[Record]:
        """Return the rows. Rows that are null are left out."""
        rows = self.rows if isinstance(self.rows, list) else _DECODE_ROWS(self.rows)
        return [row for row in rows if row is not None]


@dataclasses.dataclass(frozen=True)
class Span:
    """Which rows of an incremental stream are wanted.

    Attributes:
        start: Rows from this time on; None for all.
        end: Rows before this time; None for no end.
        with_nulls: Rows without a replication key are still owed from an unfiltered reading that
            did not reach its end.
    """

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    with_nulls: bool = False


class Outcome(enum.Enum):
    """How a stream ended."""

    PENDING = "not started"
    COMPLETE = "complete"
    FORBIDDEN = "skipped: forbidden"
    STOPPED = "stopped: API budget"
    FAILED = "failed"


@dataclasses.dataclass
class Report:
    """What a run did with a stream, for the summary at its end."""

    outcome: Outcome = Outcome.PENDING
    reason: str = ""
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
        gated: Only some plans or add-ons have the endpoint.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    path: t.ClassVar[str]
    token_cost: t.ClassVar[int] = 0
    filtered: t.ClassVar[bool] = False
    in_order: t.ClassVar[bool] = False
    gated: t.ClassVar[bool] = False

    def __init__(self, tap: TapPendoPipedrive, client: Client) -> None:
        super().__init__(tap)
        self.client = client
        self.report = Report()
        self.parent: ApiStream | None = None
        self._held = False
        self._allowance = tap.allowance
        self._ahead: dict[tuple[t.Any, ...], Prefetcher[Page]] = {}
        self._last_value = ""
        self._latest_allowed = ""

    # What a stream declares.

    def pages(self, context: Context | None, span: Span) -> Iterable[Page]:
        """Fetch the pages of a partition, one request after the other, in a worker thread.

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

    def prepare(self, row: Record) -> Record:
        """Rearrange a row before it is shaped. Most streams need not."""
        return row

    @property
    def is_wanted(self) -> bool:
        """Whether the catalog selects the stream or one of its children."""
        return self.selected or self.has_selected_descendents

    # Where to start.

    @property
    def is_sorted(self) -> bool:
        """Whether a bookmark may follow each row."""
        return self.in_order

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Leave the bookmark uncapped: rows come in order, or all in one answer.

        The SDK would cap it by this machine's clock, which need not agree with the API's.
        """

    def span(self, context: Context | None) -> Span:
        """Tell which rows are wanted, from the bookmark and the settings.

        Raises:
            StreamFailed: The state holds something else than a time.
        """
        if self.replication_method != "INCREMENTAL":
            return Span()
        partition = self._get_state_partition_context(context)
        state = get_state_if_exists(self.tap_state, self.name, partition) or {}
        known = state.get("replication_key") == self.replication_key
        bookmark = state.get("replication_key_value") if known else None
        try:
            moments = [timestamps.parse(bookmark)] if bookmark else []
        except (TypeError, ValueError, AttributeError):
            raise StreamFailed(
                f"{self.name}: the state holds {bookmark!r} as replication_key_value, which is"
                " not a time. Correct the state, or remove the stream's bookmark to read it again."
            ) from None
        if start_date := self.config.get("start_date"):
            moments.append(timestamps.parse(start_date))
        end_date = self.config.get("end_date")
        return Span(
            start=max(moments, default=None),
            end=timestamps.parse(end_date) if end_date else None,
            with_nulls=bool(bookmark and state.get(FULL_READ)),
        )

    def _write_starting_replication_value(self, context: Context | None) -> None:
        self.span(context)  # Names the stream when its state cannot be read; the SDK does not.
        super()._write_starting_replication_value(context)

    # Pages to records.

    def fetch_ahead(self) -> None:
        """Start to fetch the stream's first pages, before its turn to be written."""
        with contextlib.suppress(TapError):  # Raised again when it is the stream's turn.
            for context in self.partitions or (None,):
                self._pages_of(context)

    def close(self) -> None:
        """Stop to fetch."""
        for prefetcher in self._ahead.values():
            prefetcher.close()
        self._ahead.clear()

    def _pages_of(self, context: Context | None) -> Prefetcher[Page]:
        key = _key(context)
        if key not in self._ahead:
            pages = self.pages(context, self.span(context))
            self._ahead[key] = Prefetcher(pages, self._allowance)
        return self._ahead[key]

    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the shaped records of a partition."""
        span = self.span(context)
        prefetcher = self._pages_of(context)
        state = self.get_context_state(context)
        filtered = self.is_filtered(context)
        if filtered and self.replication_method == "INCREMENTAL" and span.start is None:
            state[FULL_READ] = True
        self._last_value = ""
        select = self._selector(dataclasses.replace(span, start=None) if filtered else span)
        shape = self._shaper
        try:
            for page in prefetcher:
                self._latest_allowed = timestamps.whole_seconds(
                    dt.datetime.now(timestamps.UTC) + CLOCK_TOLERANCE
                )
                for row in page.decode():
                    record = shape(self.prepare(row))
                    if select is None or select(record):
                        yield record
        finally:
            prefetcher.close()
            self._ahead.pop(_key(context), None)
        state.pop(FULL_READ, None)

    @functools.cached_property
    def _shaper(self) -> Callable[[Record], Record]:
        shape = compile_shaper(self.effective_schema, self.mask, self.converters())
        return shape or (lambda record: record)

    def _selector(self, span: Span) -> Callable[[Record], bool] | None:
        """Build the test whether a record is within the wanted time, to the second."""
        key = self.replication_key
        if key is None or (span.start is None and span.end is None):
            return None
        low = timestamps.whole_seconds(span.start).rstrip("Z") if span.start else ""
        high = timestamps.ceil_seconds(span.end).rstrip("Z") if span.end else "~"
        # A record without the key is always kept: nothing says that it is old.
        return lambda record: (value := record.get(key)) is None or low <= value[:19] < high

    # Records to bookmarks.

    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        """Move the bookmark, unless that could hide a row from the next run."""
        key = self.replication_key
        if key is None or self._held or self.replication_method != "INCREMENTAL":
            return
        value = latest_record.get(key)
        if value.__class__ is not str or value > self._latest_allowed:
            return
        state = self.get_context_state(context)
        last = self._last_value
        if value < last and timestamps.sort_key(value) < timestamps.sort_key(last):
            if self.in_order and PROGRESS not in state:
                self._distrust_order(state)
            return
        self._last_value = value
        markers = state
        if not self.in_order or PROGRESS in state:
            markers = state.setdefault(PROGRESS, {"Note": "Counts when the stream is complete."})
        markers["replication_key"] = key
        markers["replication_key_value"] = value

    def _distrust_order(self, state: dict[str, t.Any]) -> None:
        """Set the bookmark back until the end, since rows do not come in order."""
        self.logger.warning(
            "%s: the API does not sort by %s as asked; the bookmark moves at the end only.",
            self.name,
            self.replication_key,
        )
        state[PROGRESS] = {
            "Note": "Counts when the stream is complete.",
            "replication_key": self.replication_key,
            "replication_key_value": state.pop("replication_key_value", None),
        }
        if before := state.get("starting_replication_value"):
            state["replication_key_value"] = before

    # How it ends.

    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, t.Any, t.Any]:
        """Sync the records and note how that ended."""
        try:
            for record in super()._sync_records(context, write_messages=write_messages):
                self.report.records += 1
                yield record
        except TapError as reason:
            self.end_early(reason)
        else:
            if self.report.outcome is Outcome.PENDING:
                self.report.outcome = Outcome.COMPLETE

    def end_early(self, reason: Exception) -> None:
        """Note why the stream ended before its end, and leave every bookmark where it is safe."""
        outcome = next(
            (outcome for kind, outcome in _OUTCOMES if isinstance(reason, kind)), Outcome.FAILED
        )
        self.report.outcome, self.report.reason = outcome, str(reason)
        level = logging.ERROR if outcome is Outcome.FAILED else logging.WARNING
        self.logger.log(level, "%s %s: %s", self.name, outcome.value, reason)
        if outcome is not Outcome.FORBIDDEN and self.parent is not None:
            self.parent.hold_bookmark()

    def hold_bookmark(self) -> None:
        """Keep the bookmark where it is: rows that follow are written without their children."""
        self._held = True
        for state in self._states():
            state.pop(PROGRESS, None)

    def finalize_state_progress_markers(self, state: dict[str, t.Any] | None = None) -> None:
        """Let the bookmark of a complete stream count; forget the progress of any other."""
        if self.report.outcome is Outcome.COMPLETE:
            super().finalize_state_progress_markers(state)
            return
        for each in self._states():
            for marker in (PROGRESS, "starting_replication_value"):
                each.pop(marker, None)
        self.state_manager.is_flushed = False
        self._write_state_message()

    def _states(self) -> Iterator[dict[str, t.Any]]:
        yield self.stream_state
        yield from self.stream_state.get("partitions", [])


#: Every other error fails the stream.
_OUTCOMES: t.Final = (
    (StreamForbidden, Outcome.FORBIDDEN),
    (BudgetExhausted, Outcome.STOPPED),
)


def _key(context: Context | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in (context or {}).items()))
