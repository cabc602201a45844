"""Who did what, when: grouped usage, and single interactions with guides and polls."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.failures import TemporarilyFailed
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.core.stream import Page
from tap_pendo_pipedrive.streams.pendo import aggregation, rules
from tap_pendo_pipedrive.streams.pendo.catalog import Features, Pages
from tap_pendo_pipedrive.streams.pendo.columns import ColumnReader
from tap_pendo_pipedrive.streams.pendo.shaping import DIMENSIONS, MEASURES, KeyMaker
from tap_pendo_pipedrive.streams.pendo.stream import PendoStream
from tap_pendo_pipedrive.streams.pendo.windows import (
    DAY,
    LONGEST_DAY,
    DayWindows,
    HourWindows,
    Window,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.http import Client
    from tap_pendo_pipedrive.core.stream import PageReader, Record
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

#: Where event streams start without a start_date.
DEFAULT_HISTORY: t.Final = 30 * DAY
#: Tries of a window that can be cut: what is too much for the API stays too much.
TRIES_OF_A_LONG_WINDOW: t.Final = 2
#: Hours of one object's events in a request (Pendo's own advice: at most 30 days).
HOURS_OF_ONE_OBJECT: t.Final = 30 * 24
#: In the state: from when on events were read.
HISTORY_START: t.Final = "history_start"


class EventStream(PendoStream):
    """Events of all applications' objects, asked for window by window.

    Attributes:
        source: Name of the aggregation's source.
        measures: Attributes that are no part of a row's key.
        dimensions: Attributes that are, numbers or not.
    """

    path = aggregation.PATH
    primary_keys = ("event_key",)
    filtered = in_windows = True
    reads_all = False
    source: t.ClassVar[str]
    measures: t.ClassVar[frozenset[str]] = MEASURES
    dimensions: t.ClassVar[frozenset[str]] = DIMENSIONS

    def __init__(self, tap: TapPendoPipedrive, client: Client) -> None:
        super().__init__(tap, client)
        self.lookback = self.config["pendo_lookback_days"] * DAY

    @property
    def by_day(self) -> bool:
        """Whether a bucket is a day of the subscription's time zone, not an hour."""
        return False

    @functools.cached_property
    def _keys(self) -> KeyMaker:
        return KeyMaker(self.measures, self.dimensions)

    @functools.cached_property
    def prepare(self) -> Callable[[Record], Record]:  # type: ignore[override]
        """Shapes a row and adds its key."""
        return self._keys.shaper("event_key", self.effective_schema["properties"])

    def page_reader(self) -> PageReader:
        """Build what shapes the rows of a page column by column."""
        return ColumnReader(self.effective_schema, "event_key", self._keys)

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the buckets of a span that have ended."""
        del context
        now = dt.datetime.now(timestamps.UTC)
        start = self.first(span)
        if self.by_day:
            yield from self.read_days(start, min(now, span.end + DAY) if span.end else now, now)
        else:
            end = now.replace(minute=0, second=0, microsecond=0)
            yield from self.read_hours(start, min(end, span.end) if span.end else end)

    def first(self, span: Span) -> dt.datetime:
        """Tell where to start, and say so where no setting does."""
        if span.start is not None:
            return span.start
        if date := self.config.get("start_date"):
            return timestamps.parse(date)
        self.logger.info("%s: without a start_date, events are read from 30 days ago.", self.name)
        now = dt.datetime.now(timestamps.UTC)
        return now.replace(minute=0, second=0, microsecond=0) - DEFAULT_HISTORY

    def read_hours(
        self,
        start: dt.datetime,
        end: dt.datetime,
        *,
        longest: int = 24,
        params: Record | None = None,
    ) -> Iterator[Page]:
        """Fetch hours in windows, several at once.

        Args:
            start: A time within the first hour.
            end: Hours that begin at this time or later are left out.
            longest: Hours in a window at most.
            params: Narrows the source, for example to one object; such windows move no bookmark.
        """
        windows = HourWindows(start, end, longest)
        walks = (self._read(window, params, windows) for window in windows)
        yield from in_turn(walks, self.allowance, self.client.governor.concurrency)

    def read_days(
        self, start: dt.datetime, end: dt.datetime, now: dt.datetime, params: Record | None = None
    ) -> Iterator[Page]:
        """Fetch days in windows: one after the other until a row names its day, then several.

        Args:
            start: A time within the first day.
            end: Days that hold this time or a later one are left out.
            now: The day in progress is left for the next run.
            params: Narrows the source, for example to one object; such windows move no bookmark.
        """
        windows = DayWindows(start, end)
        for window in windows:
            for page in self._read_ended(window, params, now):
                if days := [_day(row) for row in page.decode()]:
                    windows.learn(max(days))
                yield page
            if windows.is_anchored:
                break
        walks = (self._read_ended(window, params, now) for window in windows)
        yield from in_turn(walks, self.allowance, self.client.governor.concurrency)

    def _read_ended(
        self, window: Window, params: Record | None, now: dt.datetime
    ) -> Iterator[Page]:
        """Fetch a window without the day in progress, also if that is a long one."""
        for page in self._read(window, params):
            if window.last + 2 * DAY < now:
                yield page
            else:
                ended = [row for row in page.decode() if _day(row) + LONGEST_DAY <= now]
                yield dataclasses.replace(page, rows=ended)

    def _read(
        self, window: Window, params: Record | None, windows: HourWindows | None = None
    ) -> Iterator[Page]:
        """Fetch a window; if that is too much for the API, its halves."""
        parts = window.halves()
        try:
            body = self._fetch(window, params, TRIES_OF_A_LONG_WINDOW if parts else None)
        except TemporarilyFailed:
            if not parts:
                raise
            self.logger.info("%s: %s is too much at once; cutting it.", self.name, window)
            if windows is not None:
                windows.failed(window)
            for part in parts:
                yield from self._read(part, params, windows)
            return
        if windows is not None:
            windows.succeeded(window)
        with body:
            yield from aggregation.slices(body)
        if params is None:
            yield Page([], 0, progress=self._bookmark_at(self._ended_at(window)))

    def _fetch(self, window: Window, params: Record | None, tries: int | None) -> IO[bytes]:
        pipeline = aggregation.Pipeline(
            self.source, {"appId": self.apps, **(params or {})}, window.buckets
        )
        return self.client.fetch(pipeline.request(self.name, tries=tries), aggregation.check)

    def _ended_at(self, window: Window) -> dt.datetime:
        """A time within a window's last bucket, or, where that goes on, within one that ended."""
        if not self.by_day:
            return window.last
        return min(window.last, dt.datetime.now(timestamps.UTC) - LONGEST_DAY)

    def _bookmark_at(self, moment: dt.datetime) -> dict[str, t.Any]:
        if self.replication_method != "INCREMENTAL":
            return {}
        value = timestamps.whole_seconds(moment)
        return {"replication_key": self.replication_key, "replication_key_value": value}


def _day(row: Record) -> dt.datetime:
    return dt.datetime.fromtimestamp(row["day"] / 1000, timestamps.UTC)


class GroupedEventStream(EventStream):
    """Usage grouped by everything but the measures, in buckets of an hour or a day."""

    @property
    def by_day(self) -> bool:
        """Whether the setting asks for days."""
        return bool(self.config["pendo_event_granularity"] == "day")

    @property
    def replication_key(self) -> str:
        """The bucket's column."""
        return "day" if self.by_day else "hour"

    @replication_key.setter
    def replication_key(self, value: str | None) -> None:
        """Keep the settings' bucket: a catalog of the other granularity does not fit the rows."""


class Events(GroupedEventStream):
    """All usage, tagged or not."""

    name = "pendo_events"
    source = "events"


class TaggedEventStream(GroupedEventStream):
    """Usage of tagged objects, whose past Pendo rebuilds when their rule changes.

    Attributes:
        objects_path: Path of the list of objects.
        object_id: The source's parameter for one object.
    """

    objects_path: t.ClassVar[str]
    object_id: t.ClassVar[str]

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the buckets of a span, then the past of objects whose rule changed."""
        if not self.config["pendo_reread_on_rule_change"]:
            yield from super().pages(context, span)
            return
        state = self.known_state(context)
        start = self.first(span)
        past = timestamps.parse(state.get(HISTORY_START) or timestamps.whole_seconds(start))
        # Looked up first: what changes during the run is found by the next one.
        changes = rules.Changes.since(state, self.get_rows(self.objects_path, {"expand": "*"}))
        known = {HISTORY_START: timestamps.whole_seconds(past)}
        yield Page([], 0, progress=known if rules.SEEN in state else {**known, **changes.progress})
        yield from super().pages(context, dataclasses.replace(span, start=start))
        for number, object_id in enumerate(changes.ready, 1):
            self.logger.info(
                "%s: the rule of %s %s changed; reading its events again from %s on (%d of %d).",
                self.name,
                self.object_id,
                object_id,
                timestamps.whole_seconds(past),
                number,
                len(changes.ready),
            )
            yield from self.read_again(object_id, past, start)
        yield Page([], 0, progress=changes.progress)

    def read_again(self, object_id: str, start: dt.datetime, end: dt.datetime) -> Iterator[Page]:
        """Fetch one object's events from before the part that each run reads."""
        params = {self.object_id: object_id}
        if self.by_day:
            yield from self.read_days(start, end + DAY, dt.datetime.now(timestamps.UTC), params)
        else:
            yield from self.read_hours(start, end, longest=HOURS_OF_ONE_OBJECT, params=params)


class PageEvents(TaggedEventStream):
    """Views of tagged pages."""

    name = "pendo_page_events"
    source = "pageEvents"
    objects_path = Pages.path
    object_id = "pageId"


class FeatureEvents(TaggedEventStream):
    """Clicks on tagged features."""

    name = "pendo_feature_events"
    source = "featureEvents"
    objects_path = Features.path
    object_id = "featureId"


class TrackEvents(GroupedEventStream):
    """Events that the product sent itself."""

    name = "pendo_track_events"
    source = "trackEvents"


class InteractionStream(EventStream):
    """Single interactions. Every attribute is part of the key but what the transport adds."""

    replication_key = "browser_time"
    measures = frozenset({"receivedTime", "loadTime"})
    dimensions = EventStream.dimensions | {"browserTime", "guideTimestamp", "pollResponse"}


class GuideEvents(InteractionStream):
    """What visitors did with guides."""

    name = "pendo_guide_events"
    source = "guideEvents"


class PollEvents(InteractionStream):
    """What visitors answered to polls."""

    name = "pendo_poll_events"
    source = "pollEvents"
