"""What events need beyond HTTP: answers read in slices, and keys for rows that have no id."""

from __future__ import annotations

import io
import json
import tempfile
import tracemalloc
from importlib import resources
from typing import IO, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from singer_sdk.schema.source import SchemaDirectory

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.http import BadBodyError
from tap_pendo_pipedrive.core.messages import MessageWriter
from tap_pendo_pipedrive.core.stream import Page
from tap_pendo_pipedrive.streams.pendo import aggregation
from tap_pendo_pipedrive.streams.pendo.columns import ColumnReader
from tap_pendo_pipedrive.streams.pendo.events import EventStream, InteractionStream
from tap_pendo_pipedrive.streams.pendo.shaping import MEASURES, KeyMaker, shape_row, snake_case

Row = dict[str, Any]

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ['},{"a":1', "}]", "[{", '"', "\\", '\\"},', "]}", "},", '{"results":[{', "é🚀"]
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=12)
HEADS = st.sampled_from(
    ['{"results":', '{"startTime":1772000000000,"results" : ', '\n{ "results":\n']
)
TAILS = st.sampled_from(["}", ',"more":[{"a":[1]},{}],"text":"]}"}', "\n}\n", ',"total":{"n":1}}'])


def read(body: bytes) -> list[Row]:
    file = io.BytesIO(body)
    return [row for rows in aggregation.rows(aggregation.check(file)) for row in rows]


@given(rows=ROWS, head=HEADS, tail=TAILS, size=st.integers(48, 400), compact=st.booleans())
@settings(max_examples=300, deadline=None)
def test_slices_may_be_cut_anywhere(
    rows: list[Row], head: str, tail: str, size: int, *, compact: bool
) -> None:
    separators = (",", ":") if compact else (", ", ": ")
    text = json.dumps(rows, separators=separators, ensure_ascii=compact)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregation, "SLICE", size)
        assert read((head + text + tail).encode()) == rows


@pytest.mark.parametrize("size", range(40, 120))
def test_every_place_of_a_cut(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"a": '},{"b":[', "n": [{"x": 1}, {"y": "]}"}], "é": "\\"}, {}, {"z": {"q": [[]]}}] * 3
    monkeypatch.setattr(aggregation, "SLICE", size)
    assert read(b'{"startTime":1,"results":' + json.dumps(rows).encode() + b',"k":[]}') == rows


@pytest.mark.parametrize("text", ["null", "[]", "[ ]", "[null]", "null ,"])
def test_no_rows(text: str) -> None:
    tail = "" if "," not in text else '"more":1'
    assert read(f'{{"startTime":1,"results":{text}{tail}}}'.encode()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"upstream request timeout",
        b'{"results":{"a":1}}',
        b'{"results":[{"a":1},',
        b'{"results":[{"a":1}',
        b'{"results":[{"a":1},{"b":}]}',
        b'{"results":[1,2]}',
        b'{"results":[{"a":"\xff\xfe"}]}',
        b'{"results":[{"a":"}',
    ],
)
@pytest.mark.parametrize("size", [64, 1 << 20])
def test_a_body_that_is_none_is_an_error(
    size: int, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregation, "SLICE", size)
    with pytest.raises(BadBodyError):
        read(body)


@given(rows=st.lists(st.dictionaries(TEXTS, TEXTS, min_size=1), min_size=1), at=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_a_truncated_body_never_passes_for_a_whole_one(rows: list[Row], at: float) -> None:
    body = b'{"results":' + json.dumps(rows).encode() + b"}"
    cut = body[: int(len(body) * at * 0.999)]
    with pytest.raises(BadBodyError):
        read(cut)


def test_memory_does_not_grow_with_the_rows() -> None:
    row = b'{"visitorId":"someone@people.example","day":1772000000000,"n":[{"a":"' + b"x" * 900
    part = b",".join([row + b'"},{"b":[]}]}'] * 1000)
    parts = 60
    with tempfile.TemporaryFile() as file:
        _write(file, part, parts)
        size = file.tell()
        count = 0
        tracemalloc.start()
        try:
            for rows in aggregation.rows(aggregation.check(file)):
                count += len(rows)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert count == parts * 1000
    assert size > 50 << 20
    assert peak < 24 << 20


def _write(file: IO[bytes], part: bytes, parts: int) -> None:
    file.write(b'{"startTime":1,"results":[')
    for number in range(parts):
        file.write((b"," if number else b"") + part)
    file.write(b"]}")


# Keys.

GROUPED = KeyMaker(EventStream.measures, EventStream.dimensions)
SINGLE = KeyMaker(InteractionStream.measures, InteractionStream.dimensions)
NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
UNKNOWN = st.text(min_size=1, max_size=8).map(lambda name: f"new{name}")
DIMENSIONS = st.fixed_dictionaries(
    {
        "visitorId": TEXTS,
        "accountId": TEXTS,
        "appId": st.integers(-(2**53), 2**53),
        "hour": st.integers(0, 2**43),
    },
    optional={
        "latitude": st.floats(-90, 90),
        "longitude": st.one_of(st.integers(-180, 180), st.floats(-180, 180)),
        "properties": st.dictionaries(TEXTS, VALUES, max_size=3),
        "parameters": st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3),
        "pageId": TEXTS,
        "server": TEXTS,
        "tabId": st.none() | TEXTS,
    },
)


def canonical(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, where 1.0 is 1 and true is not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(one=DIMENSIONS, other=DIMENSIONS)
@settings(max_examples=400, deadline=None)
def test_rows_that_differ_in_a_dimension_differ_in_key(one: Row, other: Row) -> None:
    equal = same(canonical(one), canonical(other))
    assert (GROUPED.key(one) == GROUPED.key(other)) == equal


@given(row=DIMENSIONS, data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_change_of_one_dimension_changes_the_key(row: Row, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(row)))
    value = data.draw(DIMENSIONS.map(lambda other: other.get(name)))
    changed = {**row, name: value}
    equal = same(canonical(row), canonical(changed))
    assert (GROUPED.key(row) == GROUPED.key(changed)) == equal


@given(
    row=DIMENSIONS,
    before=st.dictionaries(st.sampled_from(sorted(MEASURES)), NUMBERS),
    after=st.dictionaries(st.sampled_from(sorted(MEASURES)), NUMBERS),
)
@settings(max_examples=200, deadline=None)
def test_measures_never_change_the_key(row: Row, before: Row, after: Row) -> None:
    assert GROUPED.key({**row, **before}) == GROUPED.key({**after, **row})


@given(row=DIMENSIONS, seed=st.randoms())
@settings(max_examples=200, deadline=None)
def test_order_and_nulls_do_not_matter(row: Row, seed: Any) -> None:
    items = [*row.items(), ("recordingId", None), ("brandNew", None)]
    seed.shuffle(items)
    assert GROUPED.key(dict(items)) == GROUPED.key(row)


@given(row=DIMENSIONS, name=UNKNOWN, number=NUMBERS, text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_unknown_numbers_do_not_count_and_unknown_texts_do(
    row: Row, name: str, number: float, text: str
) -> None:
    assert GROUPED.key({**row, name: number}) == GROUPED.key(row)
    assert GROUPED.key({**row, name: text}) != GROUPED.key(row)
    assert GROUPED.key({**row, name: True}) != GROUPED.key({**row, name: False})


@given(row=DIMENSIONS, moments=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
@settings(max_examples=200, deadline=None)
def test_single_interactions_differ_by_time_and_not_by_transport(
    row: Row, moments: tuple[float, ...]
) -> None:
    at, other, received, load = moments
    row = {**row, "browserTime": at}
    assert SINGLE.key({**row, "receivedTime": received, "loadTime": load}) == SINGLE.key(row)
    assert (SINGLE.key({**row, "browserTime": other}) == SINGLE.key(row)) == (at == other)


def test_a_number_has_one_form() -> None:
    row = {"visitorId": "v", "appId": -323232, "hour": 1_772_000_000_000, "latitude": 4.0}
    assert GROUPED.key(row) == GROUPED.key({**row, "latitude": 4, "hour": 1_772_000_000_000.0})
    assert SINGLE.key({**row, "pollResponse": 7}) == SINGLE.key({**row, "pollResponse": 7.0})
    assert SINGLE.key({**row, "pollResponse": 7}) != SINGLE.key({**row, "pollResponse": "7"})


def test_keys_are_what_loaded_tables_hold() -> None:
    row = {
        "visitorId": "é",
        "accountId": None,
        "appId": -323232,
        "hour": 1_772_000_000_000,
        "latitude": 59.437,
        "longitude": 24.0,
        "numEvents": 3,
        "firstTime": 1_772_000_000_123,
        "properties": {"plan": "team", "__sg__": {"b": 1, "a": [None, 2.0]}},
        "parameters": {},
    }
    assert GROUPED.key(row) == "258380266f0e72ea18124b3877ba1a34"
    assert GROUPED.key({**row, "newText": "t", "newNumber": 7}) == (
        "b8623b714e889aa68b80243afe6cfca5"
    )
    single = {"visitorId": "v", "browserTime": 1_772_000_000_123, "pollResponse": 7.0}
    assert SINGLE.key({**single, "type": "guideSeen", "receivedTime": 1}) == (
        "45f264b881612035e8f4124baf21f0bb"
    )


@given(rows=st.lists(DIMENSIONS, min_size=1, max_size=5), seed=st.randoms())
@settings(max_examples=100, deadline=None)
def test_a_shaped_row_has_the_key_and_the_columns(rows: list[Row], seed: Any) -> None:
    """Rows of one layout and of others take turns."""
    shape = GROUPED.shaper("event_key", ["hour", "event_key", "nothing"])
    for row in rows + seed.sample(rows, len(rows)):
        record = shape(row)
        assert record == {**shape_row(row), "event_key": GROUPED.key(row)}
        others = [column for column in map(snake_case, row) if column != "hour"]
        assert list(record) == ["hour", "event_key", *others]
        assert record["visitor_id"] == row["visitorId"]
        assert record["hour"] == timestamps.from_epoch_ms(row["hour"])


# Pages read by column.

SCHEMA = SchemaDirectory(resources.files("tap_pendo_pipedrive.schemas.pendo")).get_schema("events")
#: Rows as the schema tells of them.
FITTING = st.fixed_dictionaries(
    {"visitorId": TEXTS, "hour": st.integers(0, 2**43) | st.floats(0, 2**43)},
    optional={
        "accountId": st.none() | TEXTS,
        "appId": st.none() | st.integers(-(2**60), 2**60),
        "week": st.none() | st.integers(-(2**70), 2**70),
        "latitude": st.none() | st.integers(-90, 90) | st.floats(-90, 90),
        "properties": st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
        "pageId": TEXTS,
        "firstTime": st.none() | st.integers(0, 2**43),
        "lastTime": st.just(0) | st.floats(0, 2**60),
        "numEvents": st.none() | st.integers(0, 2**70),
    },
)
#: What the schema does not tell of: another type, another attribute, no time.
ODD = st.sampled_from(
    [("appId", "text"), ("numEvents", 1.5), ("hour", "2026-01-01"), ("brandNew", 1), ("server", [])]
)


def by_row(rows: list[Row]) -> list[Row]:
    return [GROUPED.shaper("event_key", SCHEMA["properties"])(row) for row in rows]


def written(records: Any) -> list[bytes]:
    return [msgspec.json.encode(record) for record in records]


def page_of(rows: list[Row | None]) -> Page:
    text = msgspec.json.encode(rows)
    return Page(msgspec.Raw(text), len(text))


class Lines(MessageWriter):
    """Keeps records as they are written."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write_records(self, stream: str, records: Any, **_: Any) -> None:
        self.lines += written(records)


@given(pages=st.lists(st.lists(FITTING, min_size=1, max_size=6), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_pages_read_by_column_are_the_bytes_of_those_read_by_row(pages: list[list[Row]]) -> None:
    read = ColumnReader(SCHEMA, "event_key", GROUPED)
    for rows in pages:
        page = page_of([*rows, None])
        batch = read(page)
        assert batch is not None
        assert len(batch) == len(rows)
        lines = Lines()
        batch.write(lines, "pendo_events", None)
        assert lines.lines == written(by_row(page.decode()))
        assert written(batch.records) == lines.lines
        assert batch.values("hour") == [each["hour"] for each in batch.records]


@given(
    rows=st.lists(FITTING, max_size=3), row=FITTING, odd=ODD, after=st.lists(FITTING, max_size=3)
)
@settings(max_examples=200, deadline=None)
def test_a_row_beyond_the_schema_leaves_its_page_to_be_read_by_row(
    rows: list[Row], row: Row, odd: tuple[str, Any], after: list[Row]
) -> None:
    read = ColumnReader(SCHEMA, "event_key", GROUPED)
    assert read(page_of([*rows, {**row, odd[0]: odd[1]}, *after])) is None
    batch = read(page_of([row]))
    assert batch is not None
    assert written(batch.records) == written(by_row(page_of([row]).decode()))


def test_attributes_are_read_as_the_api_spells_them() -> None:
    schema = {"properties": {"event_key": {"type": "string"}, "page_url": {"type": "string"}}}
    read = ColumnReader(schema, "event_key", GROUPED)
    for name, known in (("pageURL", True), ("page_url", False), ("pageURL", True)):
        batch = read(page_of([{name: "a"}]))
        assert (batch is not None) is known
        assert batch is None or batch.records == [
            {"event_key": GROUPED.key({name: "a"}), "page_url": "a"}
        ]


@pytest.mark.parametrize("rows", [[], [None], [{}], [{"numEvents": 1}]])
def test_pages_without_any_dimension_are_read_by_row(rows: list[Row | None]) -> None:
    assert ColumnReader(SCHEMA, "event_key", GROUPED)(page_of(rows)) is None


def test_rows_that_are_decoded_already_are_read_by_row() -> None:
    assert ColumnReader(SCHEMA, "event_key", GROUPED)(Page([{"visitorId": "v"}], 1)) is None
