"""Streams that take a request for each object: report results, what was seen, visitor history."""

from __future__ import annotations

import datetime as dt
import functools
import typing as t
from urllib.parse import quote

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.failures import (
    ParentGone,
    ServiceFailed,
    StreamFailed,
    TemporarilyFailed,
)
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.core.stream import Page
from tap_pendo_pipedrive.streams.pendo import aggregation
from tap_pendo_pipedrive.streams.pendo.catalog import Guides, Reports
from tap_pendo_pipedrive.streams.pendo.people import Visitors, read_by_id
from tap_pendo_pipedrive.streams.pendo.shaping import KeyMaker, hash_of
from tap_pendo_pipedrive.streams.pendo.stream import PendoStream
from tap_pendo_pipedrive.streams.pendo.windows import DAY

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.stream import Record

#: How far back Pendo gives a visitor's history.
HISTORY: t.Final = 180 * DAY


class DetailStream(PendoStream):
    """A stream with a request for each object, several at a time."""

    def side_by_side(self, walks: Iterable[Iterable[Page]]) -> Iterator[Page]:
        """Fetch the objects' rows, in the objects' order."""
        yield from in_turn(walks, self.allowance, self.client.governor.concurrency)


class ReportResults(DetailStream):
    """Results of the reports that can be exported: those on visitors and accounts."""

    name = "pendo_report_results"
    path = "/api/v1/report/{id}/results.json"
    primary_keys = ("report_id", "row_key")

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch each report's results."""
        del context, span
        reports = self.get_rows(Reports.path)
        yield from self.side_by_side(self._results(str(report["id"])) for report in reports)

    def _results(self, report_id: str) -> Iterator[Page]:
        path = self.path.replace("{id}", quote(report_id, safe=""))
        try:
            rows = self.get_rows(path)
        except TemporarilyFailed:
            raise
        except StreamFailed as reason:
            self.logger.info("%s: skipping report %s: %s", self.name, report_id, reason)
            return
        found = [{"report_id": report_id, "row_key": hash_of(row), "row": row} for row in rows]
        yield Page(found, 1024 * len(found))


class SeenStream(DetailStream):
    """What visitors have ever seen of each guide.

    Attributes:
        source: Name of the aggregation's source.
        key_names: The attributes behind the primary key.
    """

    path = aggregation.PATH
    source: t.ClassVar[str]
    key_names: t.ClassVar[tuple[str, ...]]

    def subjects(self, guide: Record) -> Iterator[dict[str, t.Any]]:
        """What to ask for about a guide, as parameters of the source."""
        raise NotImplementedError

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Ask for each guide."""
        del context, span
        guides = self.get_rows(Guides.path, {"expand": "*"})
        subjects = (subject for guide in guides for subject in self.subjects(guide))
        yield from self.side_by_side(self._seen(subject) for subject in subjects)

    def _seen(self, subject: dict[str, t.Any]) -> Iterator[Page]:
        with self._fetch(subject) as body:
            for rows in aggregation.rows(body):
                # Parts of the key may be missing, for visitors without an account for example.
                keys = {**dict.fromkeys(self.key_names, ""), **subject}
                found = [{**keys, **_without_nulls(row)} for row in rows]
                yield Page(found, aggregation.SLICE)

    def _fetch(self, subject: dict[str, t.Any]) -> t.IO[bytes]:
        params = {"appId": self.apps, **subject}
        pipeline = aggregation.Pipeline(self.source, params)
        try:
            return self._ask(pipeline)
        except ServiceFailed:
            raise
        except StreamFailed as refusal:
            # One source says that these need a time series, another shows them without.
            if "time series" not in str(refusal) and "period" not in str(refusal):
                raise
            days = int((dt.datetime.now(timestamps.UTC) - _LONG_AGO) / DAY) + 2
            first = int(_LONG_AGO.timestamp() * 1000)
            buckets = aggregation.Buckets("dayRange", first, days)
            return self._ask(aggregation.Pipeline(self.source, params, buckets))

    def _ask(self, pipeline: aggregation.Pipeline) -> t.IO[bytes]:
        return self.client.fetch(pipeline.request(self.name), aggregation.check)


#: Pendo keeps events for seven years at most.
_LONG_AGO: t.Final = dt.datetime(2015, 1, 1, tzinfo=timestamps.UTC)


class GuidesSeen(SeenStream):
    """Who has seen which step of which guide."""

    name = "pendo_guides_seen"
    primary_keys = ("visitor_id", "guide_id", "guide_step_id")
    source = "guidesSeenEver"
    key_names = ("visitorId", "guideId", "guideStepId")

    def subjects(self, guide: Record) -> Iterator[dict[str, t.Any]]:
        """Ask for a guide with all its steps."""
        yield {"guideId": guide["id"]}


class PollsSeen(SeenStream):
    """Who has answered what to which poll."""

    name = "pendo_polls_seen"
    primary_keys = ("visitor_id", "account_id", "guide_id", "poll_id")
    source = "pollsSeenEver"
    key_names = ("visitorId", "accountId", "guideId", "pollId")

    def subjects(self, guide: Record) -> Iterator[dict[str, t.Any]]:
        """Ask for each poll of a guide."""
        for poll in guide.get("polls") or ():
            yield {"guideId": guide["id"], "pollId": poll["id"]}


class VisitorHistory(DetailStream):
    """What each visitor did, day by day. A request for each visitor and day, so not by default."""

    name = "pendo_visitor_history"
    path = "/api/v1/visitor/{id}/history"
    primary_keys = ("history_key",)
    selected_by_default = False
    reads_all = False

    #: In the state: the day up to which every visitor's history was read.
    READ_UNTIL = "history_read_until"

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch each day of each visitor who was there then."""
        del span
        today = dt.datetime.now(timestamps.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        day = max(self._first_day(context), today - HISTORY + DAY)
        visitors = list(self._visitors())
        end = self.config.get("end_date")
        last = min(today, timestamps.parse(end)) if end else today
        while day < last:
            ids = (each for each, first, until in visitors if first < day + DAY and until >= day)
            yield from self.side_by_side(self._slice(visitor_id, day) for visitor_id in ids)
            yield Page([], 0, progress={self.READ_UNTIL: timestamps.whole_seconds(day)})
            day += DAY

    def _first_day(self, context: Context | None) -> dt.datetime:
        """The day after which history is wanted, a look-back before what was read."""
        moments = []
        if read_until := self.known_state(context).get(self.READ_UNTIL):
            moments.append(timestamps.parse(read_until) - self.config["pendo_lookback_days"] * DAY)
        if start_date := self.config.get("start_date"):
            moments.append(timestamps.parse(start_date))
        first = max(moments, default=dt.datetime.now(timestamps.UTC) - 30 * DAY)
        return first.replace(hour=0, minute=0, second=0, microsecond=0)

    def _visitors(self) -> Iterator[tuple[str, dt.datetime, dt.datetime]]:
        """Each visitor's id, first and last visit."""
        pipeline = aggregation.Pipeline(
            Visitors.source, {"appId": self.apps}, identified=Visitors.id_name, sort=("visitorId",)
        )
        for page in read_by_id(self, pipeline):
            for row in t.cast("list[Record]", page.rows):
                auto = (row.get("metadata") or {}).get("auto") or {}
                yield row["visitorId"], _visit(auto, "firstvisit"), _visit(auto, "lastvisit")

    def _slice(self, visitor_id: str, day: dt.datetime) -> Iterator[Page]:
        path = self.path.replace("{id}", quote(visitor_id, safe=""))
        params = {"starttime": int(day.timestamp() * 1000)}
        try:
            rows = self.get_rows(path, params, of_parent=True)
        except ParentGone:
            return
        found = [{"visitorId": visitor_id, **row} for row in rows]
        yield Page(found, 512 * len(found))

    @functools.cached_property
    def prepare(self) -> Callable[[Record], Record]:  # type: ignore[override]
        """Shapes a row and adds its key."""
        keys = KeyMaker({"lastTs", "duration"}, {"ts", "appId"})
        return keys.shaper("history_key", self.effective_schema["properties"])


def _without_nulls(row: Record) -> Record:
    return {name: value for name, value in row.items() if value is not None}


def _visit(auto: Record, name: str) -> dt.datetime:
    value = auto.get(name)
    if isinstance(value, (int, float)) and value:
        return dt.datetime.fromtimestamp(value / 1000, timestamps.UTC)
    # Not known: no day may be left out.
    return _LONG_AGO if name == "firstvisit" else dt.datetime.now(timestamps.UTC)
