"""What must hold for any input: shaper, times, bookmarks, paging, threads, the rate governor."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import heapq
import itertools
import json
import logging
import math
import os
import random
import threading
import time
import types
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Optional, cast

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from singer_sdk.helpers._catalog import get_selected_schema, pop_deselected_record_properties
from singer_sdk.helpers._state import finalize_state_progress_markers
from singer_sdk.helpers._typing import conform_record_data_types
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.catalog import SelectionMask

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.bookmarks import CLOCK_TOLERANCE, PROGRESS, Bookmark, Span
from tap_pendo_pipedrive.core.failures import StreamFailed
from tap_pendo_pipedrive.core.governor import MARGIN, WINDOW, Governor
from tap_pendo_pipedrive.core.http import Client, Request
from tap_pendo_pipedrive.core.prefetch import Allowance, Prefetcher, in_turn
from tap_pendo_pipedrive.core.shaping import compile_shaper
from tap_pendo_pipedrive.streams.pipedrive import pages, windows
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Record = dict[str, Any]
Schema = dict[str, Any]
Path = tuple[str, ...]

UTC = dt.timezone.utc
PROPERTY = settings(
    max_examples=100,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)

# The shaper does what the SDK does, and keeps what the SDK drops.

DECLARED = tuple("abcdef")
NAMES = st.sampled_from((*DECLARED, "x", "y"))
NUMBERS = st.one_of(
    st.integers(-2, 2),
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
)
TEXTS = st.one_of(
    st.sampled_from(["", "0", "0000-00-00", "0000-00-00 00:00:00", "2026-01-31", "false"]),
    st.text(max_size=5),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


def _nullable(*kinds: str) -> st.SearchStrategy[Any]:
    both = st.permutations([*kinds, "null"])
    return st.one_of(st.just(kinds[0]), both) if len(kinds) == 1 else both


def _objects(definitions: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.fixed_dictionaries(
        {
            "type": st.one_of(_nullable("object"), _nullable("object", "string")),
            "properties": st.dictionaries(st.sampled_from(DECLARED), definitions, max_size=4),
        },
        optional={"additionalProperties": st.booleans()},
    )


PRIMITIVES = st.one_of(
    st.builds(lambda kind: {"type": kind}, _nullable("boolean")),
    st.builds(lambda kind: {"type": kind}, _nullable("string")),
    st.builds(lambda kind: {"type": kind}, _nullable("number")),
    st.builds(lambda kind: {"type": kind}, _nullable("boolean", "string")),
    st.builds(
        lambda kind, form: {"type": kind, "format": form},
        _nullable("string"),
        st.sampled_from(["date", "date-time", "time"]),
    ),
    st.just({"type": ["string", "number", "boolean", "object", "array", "null"]}),
    st.just({"type": ["object", "null"]}),
    st.just({"type": ["array", "null"]}),
)
DEFINITIONS = st.recursive(
    PRIMITIVES,
    lambda inner: st.one_of(
        _objects(inner),
        st.builds(
            lambda kind, items: {"type": kind, "items": items},
            _nullable("array"),
            # The SDK does not look into lists of lists, and fails on lists of open objects.
            st.one_of(
                PRIMITIVES.filter(lambda each: not {"array", "object"} & set(each.get("type", ()))),
                _objects(inner),
            ),
        ),
    ),
    max_leaves=10,
)
SCHEMAS = st.builds(
    lambda properties: {"type": "object", "properties": properties},
    st.dictionaries(
        st.sampled_from(DECLARED),
        st.one_of(DEFINITIONS, _objects(DEFINITIONS)),
        min_size=1,
        max_size=6,
    ),
)


def _breadcrumbs(schema: Schema, path: Path = ()) -> Iterator[Path]:
    for name, definition in schema.get("properties", {}).items():
        yield (*path, "properties", name)
        if "object" in definition.get("type", ()):
            yield from _breadcrumbs(definition, (*path, "properties", name))


def _values(definition: Schema) -> st.SearchStrategy[Any]:
    """Mostly what a column is for, now and then anything."""
    kinds = definition.get("type", ())
    if "object" in kinds and "properties" in definition:
        return st.one_of(_rows(definition), _rows(definition), JSON)
    if "array" in kinds and "items" in definition:
        return st.one_of(st.lists(_values(definition["items"]), max_size=3), JSON)
    if "boolean" in kinds:
        return st.one_of(st.sampled_from([0, 1, True, False, None]), JSON)
    return st.one_of(TEXTS, JSON)


def _rows(schema: Schema) -> st.SearchStrategy[Record]:
    known = {name: _values(each) for name, each in schema["properties"].items()}
    unknown = dict.fromkeys(("x", "y"), JSON)
    return st.fixed_dictionaries({}, optional=known | unknown).flatmap(
        lambda row: st.permutations(list(row)).map(
            lambda order: {name: row[name] for name in order}
        )
    )


@st.composite
def _selections(draw: st.DrawFn) -> tuple[Schema, SelectionMask, Record]:
    """A schema, what of it is selected, and a row."""
    schema = draw(SCHEMAS)
    # A catalog may name what the schema does not declare, at the root.
    paths = [*_breadcrumbs(schema), ("properties", "y")]
    deep = [path for path in paths if len(path) > 2]
    chosen = st.dictionaries(st.sampled_from(paths), st.booleans(), max_size=4)
    if deep:
        chosen = st.one_of(chosen, st.dictionaries(st.sampled_from(deep), st.booleans()))
    mask = SelectionMask(draw(chosen))
    mask[()] = True
    return schema, mask, draw(_rows(schema))


def _is_date(definition: Schema) -> bool:
    kinds = definition.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    return kinds <= {"string", "null"} and definition.get("format") in {"date", "date-time"}


def _is_boolean(definition: Schema) -> bool:
    kinds = definition.get("type", ())
    return ({kinds} if isinstance(kinds, str) else set(kinds)) <= {"boolean", "null"} != set(kinds)


def _assert_agree(
    shapes: tuple[Any, Any, Any], definition: Schema, mask: SelectionMask | None, path: Path = ()
) -> None:
    """Assert that two shapes of a value are equal, but for what differs on purpose.

    Args:
        shapes: Ours, the SDK's, and the value that was given.
        definition: The value's part of the schema.
        mask: The selection.
        path: Where the value is.
    """
    ours, sdk, given_ = shapes
    kinds = definition.get("type", ())
    if isinstance(given_, dict) and "object" in kinds and "properties" in definition:
        declared = definition["properties"]
        below = {name: (*path, "properties", name) for name in given_}
        kept = [name for name in given_ if mask is None or mask[below[name]]]
        assert list(ours) == kept, "in the same order, nothing but deselected attributes gone"
        for name in kept:
            if name in declared:
                parts = (ours[name], sdk[name], given_[name])
                _assert_agree(parts, declared[name], mask, below[name])
            else:
                assert _exact(ours[name], given_[name]), "attributes not known stay as they are"
    elif isinstance(given_, list) and "array" in kinds and "items" in definition:
        assert len(ours) == len(sdk) == len(given_)
        for parts in zip(ours, sdk, given_, strict=True):
            _assert_agree(parts, definition["items"], None)
    elif _is_date(definition) and isinstance(given_, str) and given_ <= "0001":
        assert ours is None
    elif _is_boolean(definition) and isinstance(given_, Decimal):
        assert ours is (given_ != 0)  # The SDK leaves numbers with a point in boolean columns.
    else:
        assert _exact(ours, sdk)


def _exact(one: Any, other: Any) -> bool:
    """Whether two values are equal, types and digits included: 1 is not true, 1.10 not 1.1."""
    return repr(one) == repr(other)


@PROPERTY
@given(_selections())
def test_shaper_agrees_with_the_sdk(selection: tuple[Schema, SelectionMask, Record]) -> None:
    schema, mask, row = selection
    effective = get_selected_schema("any", schema, mask)
    sdk = copy.deepcopy(row)
    pop_deselected_record_properties(sdk, schema, mask)
    logger = logging.getLogger("quiet")
    logger.setLevel(logging.CRITICAL)
    sdk = conform_record_data_types("any", sdk, effective, TypeConformanceLevel.RECURSIVE, logger)
    shape = compile_shaper(effective, mask)
    ours = copy.deepcopy(row)
    if shape is not None:
        ours = shape(ours)
    _assert_agree((ours, sdk, row), effective, mask)


@PROPERTY
@given(_selections())
def test_shaper_without_a_selection_drops_nothing_and_is_idempotent(
    selection: tuple[Schema, SelectionMask, Record],
) -> None:
    schema, _, row = selection
    shape = compile_shaper(schema) or (lambda each: each)
    once = shape(copy.deepcopy(row))
    assert list(once) == list(row)
    assert _exact(shape(copy.deepcopy(once)), once)


@PROPERTY
@given(_selections(), st.sampled_from(DECLARED))
def test_converters_come_first_and_see_no_null(
    selection: tuple[Schema, SelectionMask, Record], column: str
) -> None:
    schema, _, row = selection
    seen: list[Any] = []

    def convert(value: Any) -> Any:
        seen.append(value)
        return value

    shape = compile_shaper(schema, None, {column: convert})
    plain = compile_shaper(schema) or (lambda each: each)
    assert shape is not None
    wanted = [copy.deepcopy(row[column])] if row.get(column) is not None else []
    shaped = shape(copy.deepcopy(row))
    assert len(seen) == len(wanted)
    assert _exact(shaped, plain(copy.deepcopy(row)))


# Times.

ANY_TIME = st.datetimes(timezones=st.just(UTC))
TIMES = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2026, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda each: dt.timezone(dt.timedelta(0, each * 60)))


def _fraction(moment: dt.datetime, zeros: int) -> str:
    digits = f"{moment.microsecond:06}".rstrip("0") + "0" * zeros
    return f".{digits}" if digits else ""


def _written(moment: dt.datetime, zeros: int = 0) -> str:
    """RFC 3339 in UTC with as many zeros behind the fraction."""
    plain = moment.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    return f"{plain.isoformat()}{_fraction(moment, zeros)}Z"


@PROPERTY
@given(ANY_TIME, st.integers(0, 9))
def test_times_are_read_in_any_precision(moment: dt.datetime, zeros: int) -> None:
    assert timestamps.parse(_written(moment, zeros)) == moment
    assert timestamps.parse(_written(moment, zeros).replace("T", " ").rstrip("Z")) == moment


@PROPERTY
@given(TIMES, OFFSETS, st.integers(0, 9))
def test_times_are_read_in_any_zone(moment: dt.datetime, zone: dt.timezone, zeros: int) -> None:
    local = moment.astimezone(zone)
    text = local.replace(microsecond=0).isoformat()
    text = text[:19] + _fraction(local, zeros) + text[19:]
    assert timestamps.parse(text) == moment
    assert timestamps.parse(text).tzinfo is UTC


@PROPERTY
@given(st.dates())
def test_dates_are_read_as_their_first_instant(day: dt.date) -> None:
    moment = timestamps.parse(day.isoformat())
    assert (moment.date(), moment.time(), moment.tzinfo) == (day, dt.time(), UTC)


@PROPERTY
@given(st.text(alphabet="0123456789-:.TZ+ ", max_size=30))
def test_other_texts_are_value_errors(text: str) -> None:
    try:
        moment = timestamps.parse(text)
    except ValueError:
        return
    assert moment.tzinfo is UTC


@PROPERTY
@given(ANY_TIME)
def test_whole_seconds_round_down_and_ceil_up(moment: dt.datetime) -> None:
    low = timestamps.parse(timestamps.whole_seconds(moment))
    assert low == moment.replace(microsecond=0)
    assert len(timestamps.whole_seconds(moment)) == len("2026-01-31T10:00:00Z")


@PROPERTY
@given(ANY_TIME)
def test_ceil_seconds_rounds_up(moment: dt.datetime) -> None:
    high = timestamps.parse(timestamps.ceil_seconds(moment))
    last = dt.datetime.max.replace(microsecond=0, tzinfo=UTC)
    if moment > last:
        assert high >= last  # There is no later second.
        return
    assert dt.timedelta(0) <= high - moment < dt.timedelta(seconds=1)
    assert high.microsecond == 0


@PROPERTY
@given(st.integers(-62135596800_000, 253402300799_999))
def test_epoch_milliseconds_and_back(milliseconds: int) -> None:
    text = timestamps.from_epoch_ms(milliseconds)
    if milliseconds == 0:
        assert text is None
        return
    assert text is not None
    delta = timestamps.parse(text) - dt.datetime(1970, 1, 1, tzinfo=UTC)
    assert delta == dt.timedelta(milliseconds=milliseconds)
    assert len(text) in {len("2026-01-31T10:00:00Z"), len("2026-01-31T10:00:00.123Z")}


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**15, 253402300800_000])
def test_epoch_milliseconds_that_no_calendar_holds_do_not_end_the_stream(number: int) -> None:
    """Some APIs write "never" as the largest number that they have."""
    assert timestamps.from_epoch_ms(number) is None


@PROPERTY
@given(ANY_TIME)
def test_v1_times_are_those_of_v2(moment: dt.datetime) -> None:
    moment = moment.replace(microsecond=0)
    assert timestamps.from_v1(_written(moment).replace("T", " ").rstrip("Z")) == _written(moment)
    assert timestamps.from_v1(_written(moment)) == _written(moment)


@PROPERTY
@given(TIMES, st.integers(-2_000_000, 2_000_000), st.integers(0, 4), st.integers(0, 4))
def test_sort_key_has_the_order_of_time(
    first: dt.datetime, apart: int, zeros: int, others: int
) -> None:
    second = first + dt.timedelta(microseconds=apart)
    one = timestamps.sort_key(_written(first, zeros))
    other = timestamps.sort_key(_written(second, others))
    assert (one < other, one == other) == (first < second, first == second)


# Spans and bookmarks.


@PROPERTY
@given(
    st.one_of(st.none(), TIMES),
    st.one_of(st.none(), TIMES),
    st.lists(st.tuples(st.integers(-3_000_000, 3_000_000), st.integers(0, 3)), min_size=1),
    st.booleans(),
)
def test_a_span_selects_to_the_second(
    start: dt.datetime | None, end: dt.datetime | None, around: list[tuple[int, int]], at_end: bool
) -> None:
    select = Span(start, end).selector()
    if select is None:
        assert (start, end) == (None, None)
        return
    assert select(None)
    centre = (end if at_end else start) or start or end
    assert centre is not None
    for apart, zeros in around:
        moment = centre + dt.timedelta(microseconds=apart)
        late_enough = start is None or moment >= start.replace(microsecond=0)
        second = moment.replace(microsecond=0)
        early_enough = end is None or second < end
        wanted = late_enough and early_enough
        assert select(_written(moment, zeros)) is wanted


#: Distances between rows in tenths of seconds: bulk edits, seconds, days.
DISTANCES = st.one_of(st.just(0), st.integers(0, 12), st.integers(0, 5_000_000))
#: Rows by page; a row is the distance to the one before and the zeros of its fraction.
PAGES_OF_ROWS = st.lists(
    st.lists(st.tuples(DISTANCES, st.integers(0, 3)), max_size=5), min_size=1, max_size=8
)


def _timeline(pages_of_rows: list[list[tuple[int, int]]]) -> list[list[Record]]:
    moment = dt.datetime(2020, 1, 1, tzinfo=UTC)
    timeline = []
    for page in pages_of_rows:
        records: list[Record] = []
        for distance, zeros in page:
            moment += dt.timedelta(milliseconds=100 * distance)
            # Some rows have no time: they move nothing.
            records.append({"t": _written(moment, zeros), "moment": moment})
            if zeros == 3:
                records.append({"t": None})
        timeline.append(records)
    return timeline


def _moments(records: Iterable[Record]) -> list[dt.datetime]:
    return [record["moment"] for record in records if "moment" in record]


@PROPERTY
@given(PAGES_OF_ROWS)
def test_bookmark_of_sorted_rows_is_the_last_one_written(
    pages_of_rows: list[list[tuple[int, int]]],
) -> None:
    timeline = _timeline(pages_of_rows)
    state: Record = {}
    bookmark = Bookmark("any", state, "t", in_order=True)
    for number, page in enumerate(timeline):
        bookmark.advance([row.get("t") for row in page])
        written = _moments(itertools.chain(*timeline[: number + 1]))
        rest = _moments(itertools.chain(*timeline[number + 1 :]))
        assert PROGRESS not in state
        value = state.get("replication_key_value")
        assert (value is None) is (not written)
        if value is not None:
            assert timestamps.parse(value) == written[-1] <= min(rest, default=written[-1])
            assert state["replication_key"] == "t"


@PROPERTY
@given(PAGES_OF_ROWS, st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_bookmark_of_unsorted_rows_counts_at_the_end_only(
    pages_of_rows: list[list[tuple[int, int]]],
    source: random.Random,
    promised: bool,
    has_start: bool,
) -> None:
    timeline = _timeline(pages_of_rows)
    records = list(itertools.chain(*timeline))
    source.shuffle(records)
    state: Record = {}
    if has_start:
        # As the SDK leaves them before the first record.
        start = "2019-01-01T00:00:00Z"
        state = {
            "replication_key": "t",
            "replication_key_value": start,
            "starting_replication_value": start,
        }
    before = state.get("replication_key_value")
    bookmark = Bookmark("any", state, "t", in_order=promised)
    written: list[dt.datetime] = []
    while records:
        page, records = records[:4], records[4:]
        bookmark.advance([row.get("t") for row in page])
        written += _moments(page)
        in_order = promised and written == sorted(written)
        value = state.get("replication_key_value")
        if not in_order:
            assert value == before
        elif written:
            assert timestamps.parse(value or "") == written[-1]
    finalize_state_progress_markers(state)
    assert PROGRESS not in state
    if written:
        assert timestamps.parse(state["replication_key_value"]) == max(written)
    else:
        assert state.get("replication_key_value") == before


@PROPERTY
@given(st.lists(st.integers(-100_000, 100_000), max_size=20), st.booleans())
def test_bookmark_stays_behind_the_clock(minutes: list[int], in_order: bool) -> None:
    now = dt.datetime.now(UTC)
    moments = [now + dt.timedelta(minutes=each) for each in minutes]
    if in_order:
        moments.sort()
    state: Record = {}
    bookmark = Bookmark("any", state, "t", in_order=in_order)
    for moment in moments:
        bookmark.advance([_written(moment)])
    finalize_state_progress_markers(state)
    value = state.get("replication_key_value")
    # Rows at the edge may fall on either side while the clock moves on.
    past = [moment for moment in moments if moment <= now + CLOCK_TOLERANCE - dt.timedelta(0, 60)]
    assert (value is not None) or not past
    if value is not None:
        assert timestamps.parse(value) <= dt.datetime.now(UTC) + CLOCK_TOLERANCE
        assert timestamps.parse(value) >= max(past, default=timestamps.parse(value))


# Lists by offset, which change between any two requests.


def _body(rows: list[Record], more: bool | None, cursor: str | None = None) -> bytes:
    extra: Record = {} if more is None else {"pagination": {"more_items_in_collection": more}}
    if cursor is not None:
        extra["next_cursor"] = cursor
    return json.dumps({"success": True, "data": rows, "additional_data": extra}).encode()


class ChangingList:
    """A list that is sorted by update time, and a client that reads it."""

    def __init__(self, size: int, concurrency: int, says_more: bool, source: random.Random) -> None:
        self.governor = types.SimpleNamespace(concurrency=concurrency)
        self.source = source
        self.says_more = says_more
        self.now = size
        self.rows: list[Record] = [
            {"id": number, "update_time": self._time(number)} for number in range(size)
        ]
        self.start = [dict(row) for row in self.rows]
        self.requests = 0
        self.calm_after = 30

    @staticmethod
    def _time(tick: int) -> str:
        return timestamps.whole_seconds(dt.datetime(2020, 1, 1, tzinfo=UTC) + dt.timedelta(0, tick))

    def fetch(self, request: Request, parse: Callable[[bytes], Any]) -> Any:
        self.requests += 1
        assert self.requests < 500, "the walk does not come to an end"
        if self.requests < self.calm_after:
            for _ in range(self.source.choice((0, 0, 1, 2, 9))):
                self.change()
        start, limit = int(request.params["start"]), int(request.params["limit"])
        rows = self.rows[start : start + limit]
        more = start + limit < len(self.rows) if self.says_more else None
        return parse(_body(rows, more))

    def change(self) -> None:
        """Edit, delete or add a row."""
        self.now += 1
        what = self.source.choice(("edit", "delete", "add"))
        if what == "add":
            self.rows.append({"id": 1000 + self.now, "update_time": self._time(self.now)})
        elif self.rows:
            # Mostly where the walk has been: that moves what it has not seen.
            place = min(self.source.randrange(len(self.rows)) for _ in range(2))
            row = self.rows.pop(place)
            if what == "edit":
                self.rows.append({**row, "update_time": self._time(self.now)})


@settings(PROPERTY, max_examples=300)
@given(
    st.integers(0, 40),
    st.integers(2, 7),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_an_offset_walk_loses_nothing_while_the_list_changes(
    size: int,
    limit: int,
    concurrency: int,
    says_more: bool,
    tells_more: bool,
    source: random.Random,
) -> None:
    changing = ChangingList(size, concurrency, says_more, source)

    def in_any_order(walks: Iterable[Any], _allowance: Allowance, _lanes: int) -> Iterator[Any]:
        ready = list(walks)
        order = list(range(len(ready)))
        source.shuffle(order)
        answers = {place: list(ready[place]) for place in order}
        for place in range(len(ready)):
            yield from answers[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGES_A_LANE", 1)
        patch.setattr(pages, "in_turn", in_any_order)
        walk = pages.offset_pages(
            cast("Client", changing),
            pages.OffsetList(Request("any", "/v1/any"), limit, ("id",), tells_more=tells_more),
            Allowance(1 << 20),
        )
        found = [row for page in walk for row in page.decode()]
    latest = max((row["update_time"] for row in found), default="")
    given_out = {(row["id"], row["update_time"]) for row in found}
    ids = {row["id"] for row in found}
    at_start: dict[int, str] = {row["id"]: row["update_time"] for row in changing.start}
    for row in changing.rows:
        if at_start.get(row["id"]) == row["update_time"]:
            assert row["id"] in ids, "a row that was always there is lost"
        elif tells_more and row["update_time"] < latest:
            # The next run asks for rows from the latest time on; full tables it reads anew.
            assert (row["id"], row["update_time"]) in given_out, "an edit is lost"
    if not changing.now - size:
        assert [row["id"] for row in found] == list(at_start)


@pytest.mark.parametrize("limit", [2, 3, 5])
@pytest.mark.parametrize("says_more", [True, False])
@pytest.mark.parametrize("tells_more", [True, False])
@pytest.mark.parametrize("size", range(12))
def test_an_offset_walk_of_a_quiet_list_gives_each_row_once(
    size: int, tells_more: bool, says_more: bool, limit: int
) -> None:
    quiet = ChangingList(size, 3, says_more, random.Random(0))
    quiet.calm_after = 0
    listed = pages.OffsetList(Request("any", "/v1/any"), limit, ("id",), tells_more=tells_more)
    walk = pages.offset_pages(cast("Client", quiet), listed, Allowance(1 << 20))
    assert [row["id"] for page in walk for row in page.decode()] == list(range(size))
    assert quiet.requests <= 2 + (not tells_more) + math.ceil(size / (limit - 1)) * (
        1 + 1 / pages.PAGES_A_LANE
    )


# Lists by cursor, cut into windows of time.


Dated = tuple[Optional[str], int]  # noqa: UP045 - evaluated on Python 3.10


class SortedList:
    """A v2 list that is sorted by update time, and a client that reads it."""

    def __init__(self, seconds: list[int], nulls: int, nulls_first: bool, concurrency: int) -> None:
        self.governor = types.SimpleNamespace(concurrency=concurrency)
        rows: list[Dated] = [
            (self.text(each), number) for number, each in enumerate(sorted(seconds))
        ]
        empty: list[Dated] = [(None, len(rows) + number) for number in range(nulls)]
        self.rows = empty + rows if nulls_first else rows + empty
        self.requests = 0
        self._lock = threading.Lock()

    @staticmethod
    def text(second: int) -> str:
        return timestamps.whole_seconds(
            dt.datetime(2010, 1, 1, tzinfo=UTC) + dt.timedelta(0, second)
        )

    def fetch(self, request: Request, parse: Callable[[bytes], Any]) -> Any:
        with self._lock:
            self.requests += 1
        params = request.params
        rows = self.rows if params["sort_direction"] == "asc" else self.rows[::-1]
        since, until = params.get("updated_since"), params.get("updated_until")
        if since or until:
            low, high = str(since or ""), str(until or "~")
            rows = [row for row in rows if row[0] is not None and low <= row[0] < high]
        start, limit = int(params.get("cursor", 0)), int(params["limit"])
        page = [{"id": key, "update_time": stamp} for stamp, key in rows[start : start + limit]]
        cursor = str(start + limit) if start + limit < len(rows) else None
        return parse(_body(page, None, cursor))


class Walked(CursorStream):
    name = "walked"
    path = "/api/v2/walked"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = has_until = True


#: (rows, seconds) of parts of a history: bulk imports, work days, years with nothing.
HISTORIES = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from([0, 1, 60, 3600, 86_400, 30 * 86_400, 3 * 365 * 86_400]),
    ),
    max_size=6,
)


def _seconds_of(history: list[tuple[int, int]], source: random.Random) -> list[int]:
    begin, found = 0, []
    for rows, length in history:
        found += [begin + source.randint(0, length) for _ in range(rows)]
        begin += length
    return found


@settings(PROPERTY, max_examples=150)
@given(
    st.builds(_seconds_of, HISTORIES, st.randoms(use_true_random=False)),
    st.tuples(st.integers(0, 12), st.booleans()),
    st.integers(1, 8),
    st.integers(1, 12),
    st.tuples(st.sampled_from([None, 0.0, 0.3]), st.sampled_from([None, 0.5, 1.0, 1.1])),
)
def test_windows_give_every_row_once_and_in_order(
    seconds: list[int],
    nulls: tuple[int, bool],
    concurrency: int,
    page: int,
    bounds: tuple[float | None, float | None],
) -> None:
    listed = SortedList(seconds, *nulls, concurrency)
    whole = max(seconds, default=1)
    start, end = (
        None if part is None else timestamps.parse(SortedList.text(int(whole * part)))
        for part in bounds
    )
    span = Span(start, end)
    stream = Walked.__new__(Walked)
    stream.client = cast("Client", listed)
    stream.allowance = Allowance(1 << 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "LARGEST_PAGE", page)
        patch.setattr(windows, "LARGEST_PAGE", page)
        found = [row for part in stream.walk_span(None, span) for row in part.decode()]
    select = span.selector() or (lambda _value: True)
    if start is None:
        # The API cannot be asked for an end alone.
        found = [row for row in found if select(row["update_time"])]
    rows: list[dict[str, Any]] = [{"id": key, "update_time": at} for at, key in listed.rows]
    wanted = [
        row for row in rows if select(row["update_time"]) and (row["update_time"] or start is None)
    ]
    with_time = [row for row in found if row["update_time"] is not None]
    assert with_time == [row for row in wanted if row["update_time"] is not None]
    empty = [row["id"] for row in found if row["update_time"] is None]
    assert sorted(empty) == [row["id"] for row in wanted if row["update_time"] is None]
    full_pages = len(wanted if start else rows) / page
    assert listed.requests <= 3 * full_pages + 60


def test_windows_of_an_even_list_cost_few_requests() -> None:
    listed = SortedList([number * 60_000 for number in range(5_000)], 0, True, 6)
    stream = Walked.__new__(Walked)
    stream.client = cast("Client", listed)
    stream.allowance = Allowance(1 << 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "LARGEST_PAGE", 50)
        patch.setattr(windows, "LARGEST_PAGE", 50)
        found = [row["id"] for part in stream.walk_span(None, Span()) for row in part.decode()]
    assert found == list(range(5_000))
    assert 100 <= listed.requests <= 140


# Pages fetched ahead.


@dataclasses.dataclass(frozen=True)
class Sheet:
    number: int
    size: int


class Watched(Allowance):
    """Remembers the most bytes that waited at one time."""

    def __init__(self, size: int) -> None:
        self.most = 0
        self._used = 0
        super().__init__(size)

    @property
    def used(self) -> int:
        return self._used

    @used.setter
    def used(self, value: int) -> None:
        self._used = value
        self.most = max(self.most, value)


class TornError(Exception):
    """What a list of pages ends with."""


def _sheets(first: int, sizes: list[int], torn: bool) -> Iterator[Sheet]:
    for number, size in enumerate(sizes):
        yield Sheet(first + number, size)
    if torn:
        raise TornError


def _threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def _ended(before: set[threading.Thread], within: float = 3) -> bool:
    """Whether the threads that were started since come to their end."""
    end = time.monotonic() + within
    while (alive := {each for each in _threads() - before if each.is_alive()}) and (
        time.monotonic() < end
    ):
        for thread in alive:
            thread.join(0.01)
    return not alive


SIZES = st.lists(st.integers(0, 60), max_size=12)


@settings(PROPERTY, max_examples=50)
@given(
    st.lists(st.tuples(SIZES, st.booleans()), max_size=6),
    st.integers(0, 100),
    st.integers(1, 4),
)
def test_pages_fetched_ahead_come_in_order_and_errors_in_their_place(
    lists: list[tuple[list[int], bool]], room: int, width: int
) -> None:
    before = _threads()
    allowance = Watched(room)
    wanted: list[int | None] = []
    for place, (sizes, torn) in enumerate(lists):
        wanted += [100 * place + number for number in range(len(sizes))]
        if torn:
            wanted.append(None)
            break
    walks = (_sheets(100 * place, sizes, torn) for place, (sizes, torn) in enumerate(lists))
    found: list[int | None] = []
    try:
        found.extend(sheet.number for sheet in in_turn(walks, allowance, width))
    except TornError:
        found.append(None)
    assert found == wanted
    assert _ended(before)
    assert allowance.used == 0
    # One page of each list may always wait, so that none waits for another.
    assert allowance.most <= room + 60 * width


@pytest.mark.parametrize(("room", "depth", "most"), [(100, 16, 10), (1000, 4, 4), (5, 16, 1)])
def test_no_more_pages_are_fetched_than_may_wait(room: int, depth: int, most: int) -> None:
    fetched = 0

    def endless() -> Iterator[Sheet]:
        nonlocal fetched
        while True:
            fetched += 1
            yield Sheet(fetched, 10)

    before = _threads()
    allowance = Watched(room)
    prefetcher = Prefetcher(endless(), allowance, depth)
    for consumed, _page in enumerate(iter(prefetcher), 1):
        time.sleep(0.02)
        # The one that does not fit is in the thread's hands.
        assert fetched <= consumed + most + 1
        if consumed == 5:
            break
    assert fetched >= 5 + most
    assert allowance.most <= max(room, 10)
    prefetcher.close()
    assert _ended(before)
    assert allowance.used == 0


@pytest.mark.parametrize("nested", [False, True])
def test_close_ends_the_threads(nested: bool) -> None:
    def endless() -> Iterator[Sheet]:
        for number in itertools.count():
            yield Sheet(number, 10)

    before = _threads()
    allowance = Watched(25)
    walk = in_turn((endless() for _ in range(3)), allowance, 3) if nested else endless()
    prefetcher = Prefetcher(walk, allowance)
    del walk
    assert next(iter(prefetcher)).number == 0
    prefetcher.close()
    # A stream that is closed forgets its prefetchers.
    del prefetcher
    assert _ended(before)
    assert allowance.used == 0


def test_an_interrupt_comes_before_the_next_page() -> None:
    allowance = Allowance(1000)
    pages_ = iter(Prefetcher(_sheets(0, [1] * 5, torn=False), allowance))
    assert next(pages_).number == 0
    allowance.interrupt = SystemExit(143)
    with pytest.raises(SystemExit):
        next(pages_)
    assert allowance.used == 0


# The rate governor against a server that counts requests by a rolling window.


class Simulation:
    """Requests of many workers as events in a time that is not real.

    The governor decides as in threads: a worker whose request may not leave asks again when the
    governor says, and whenever another request ends.
    """

    def __init__(self, concurrency: int, limit: int, source: random.Random, travel: float) -> None:
        self.now = 1000.0
        self.governor = Governor(concurrency, clock=lambda: self.now)
        self.limit = limit
        self.source = source
        self.travel = travel
        self.work = 0.05
        self.arrivals: list[float] = []
        self.refused = 0
        self.sent: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.paused_until = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._window: collections.deque[float] = collections.deque()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), action))

    def run(self, requests: int, until: float = math.inf) -> None:
        """Let workers send so many requests, as soon as they may."""
        left = requests
        while True:
            waiting: float | None = None
            while left:
                waiting = self.governor._wait()
                if waiting is None or waiting > 0:
                    break
                left -= 1
                self._send()
            if not self._events and (not left or waiting is None):
                assert not left, "requests wait for ever"
                return
            wake = self.now + max(waiting, 1e-6) if left and waiting is not None else math.inf
            if self._events and self._events[0][0] <= wake:
                self.now, _, action = heapq.heappop(self._events)
                action()
            else:
                self.now = wake
            assert self.now < 1000 + until, "too slow"

    def _send(self) -> None:
        slot = self.governor.slot()
        slot.__enter__()
        assert self.now >= self.paused_until - 1e-9, "sent in spite of a pause"
        self.sent.append(self.now)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        there = self.source.uniform(0, self.travel)
        back = self.source.uniform(0, self.work)

        def answer() -> None:
            headers = self._serve()
            self.at(self.now + back, lambda: end(*headers))

        def end(remaining: int, reset: float) -> None:
            self.governor.learn(self.limit, remaining, reset)
            self.in_flight -= 1
            slot.__exit__(None, None, None)

        self.at(self.now + there, answer)

    def _serve(self) -> tuple[int, float]:
        window = self._window
        while window and window[0] <= self.now - WINDOW + 1e-6:
            window.popleft()
        self.arrivals.append(self.now)
        if len(window) >= self.limit:
            self.refused += 1
            return 0, math.ceil(window[0] + WINDOW - self.now)
        window.append(self.now)
        return self.limit - len(window), math.ceil(window[0] + WINDOW - self.now)


@PROPERTY
@given(
    st.integers(1, 32),
    st.integers(1, 120),
    st.floats(0, MARGIN),
    st.floats(0, 3),
    st.randoms(use_true_random=False),
)
def test_no_window_of_the_server_ever_holds_more_than_the_limit(
    concurrency: int, limit: int, travel: float, work: float, source: random.Random
) -> None:
    simulation = Simulation(concurrency, limit, source, travel)
    simulation.work = work
    if limit < concurrency:
        # Learned from the answers to discovery, before there is a crowd.
        simulation.governor.learn(limit, None, None)
    requests = min(3 * limit + 50, 250)
    simulation.run(requests)
    assert len(simulation.arrivals) == requests
    assert simulation.refused == 0
    assert simulation.most_in_flight <= concurrency


@pytest.mark.parametrize("limit", [20, 30, 80, 120])
@pytest.mark.parametrize("travel", [0.0, 0.02, MARGIN])
def test_the_limit_is_used_to_95_percent(limit: int, travel: float) -> None:
    simulation = Simulation(32, limit, random.Random(limit), travel)
    simulation.work = 0.1
    simulation.governor.learn(limit, None, None)
    simulation.run(20 * limit)
    spent = simulation.arrivals[-1] - simulation.arrivals[0]
    # The first window's worth of requests leaves at once.
    allowed = limit * (1 + spent / WINDOW)
    assert simulation.refused == 0
    assert len(simulation.arrivals) / allowed >= 0.95


@PROPERTY
@given(
    st.integers(1, 16),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_pause_holds_every_request_and_ends(
    concurrency: int, pauses: list[tuple[float, float]], source: random.Random
) -> None:
    simulation = Simulation(concurrency, 30, source, MARGIN)

    def pause(seconds: float) -> None:
        simulation.governor.pause(seconds)
        simulation.paused_until = max(simulation.paused_until, simulation.now + seconds)

    for after, seconds in pauses:
        simulation.at(1000 + after, lambda seconds=seconds: pause(seconds))  # type: ignore[misc]
    simulation.run(100, until=120)
    assert len(simulation.sent) == 100


@PROPERTY
@given(st.integers(3, 60), st.integers(0, 57), st.integers(1, 5))
def test_a_window_that_others_have_used_up_is_closed_for_us(
    limit: int, own: int, reset: int
) -> None:
    """Another program with the same token: the answers say that nothing is left."""
    # The one in flight may be among those that the server has counted, or not.
    assume(own + 2 < limit)
    now = 1000.0
    governor = Governor(4, clock=lambda: now)
    governor.learn(limit, limit, 2)
    for _ in range(own):
        with governor.slot():
            pass
    with governor.slot():
        governor.learn(limit, 0, reset)
    assert governor._wait() == pytest.approx(min(reset, WINDOW))
    now += reset
    governor.learn(limit, limit, 2)
    assert governor._wait() == 0


def test_threads_obey_concurrency_and_window() -> None:
    """The same with real threads and a real clock, in a short window."""
    governor = Governor(3)
    governor.learn(10, None, None)
    starts: list[float] = []
    lock = threading.Lock()
    busy = most = 0

    def work() -> None:
        nonlocal busy, most
        for _ in range(5):
            with governor.slot():
                with lock:
                    starts.append(time.monotonic())
                    busy += 1
                    most = max(most, busy)
                time.sleep(0.002)
                with lock:
                    busy -= 1

    threads = [threading.Thread(target=work, daemon=True) for _ in range(5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tap_pendo_pipedrive.core.governor.WINDOW", 0.2)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert most <= 3
    assert len(starts) == 25
    starts.sort()
    assert all(late - early >= 0.2 for early, late in zip(starts, starts[10:], strict=False))


# Cursors.


@PROPERTY
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
def test_a_cursor_that_comes_again_ends_the_walk(cursors: list[str]) -> None:
    answers = iter([*cursors, None])
    client = types.SimpleNamespace(
        fetch=lambda _request, parse: parse(_body([{"id": 1}], None, next(answers)))
    )
    walk = pages.cursor_pages(cast("Client", client), Request("any", "/api/v2/any"))
    if len(set(cursors)) == len(cursors):
        assert len(list(walk)) == len(cursors) + 1
        return
    again = next(place for place, each in enumerate(cursors) if each in cursors[:place])
    with pytest.raises(StreamFailed):
        for number, _page in enumerate(walk):  # noqa: B007 - looked at below
            pass
    assert number == again
