"""The short way from a page to its messages writes what the SDK's own way would.

Three ways are compared: the tap's own, a page at a time; the tap's without pages, which features
like stream maps fall back to; and the SDK's, with its conformance, deselection and writer.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.encoding.simple import SimpleSingerWriter

from tap_pendo_pipedrive.core.shaping import compile_shaper
from tap_pendo_pipedrive.core.stream import ApiStream
from tap_pendo_pipedrive.streams.pendo.columns import ColumnBatch
from tap_pendo_pipedrive.tap import TapPendoPipedrive
from tests import harness
from tests.integration.conftest import Clock
from tests.integration.expected import CATALOG, CHILDREN, LIVE_IDS, STREAMS
from tests.sandbox import Company, Fault, PendoServer, PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness import Record, Run

Patch = pytest.MonkeyPatch

EXTRACTED = re.compile(rb',"time_extracted":"[^"]+"(?=\}$)')
#: How the API writes amounts: every digit counts.
AMOUNTS = {
    b"710001.5": b"710001.50",
    b"710002.5": b"12345678901234567.89",
    b"710003.5": b"0.10000000000000000555",
    b"710004.5": b"-0.00",
    b"710005.5": b"1.5E+3",
}
#: Where rows have no id, and are too many to look at each.
READ_BY_COLUMN = {
    "pendo_events",
    "pendo_feature_events",
    "pendo_guide_events",
    "pendo_page_events",
    "pendo_poll_events",
    "pendo_track_events",
}


def exact(body: bytes) -> bytes:
    for short, amount in AMOUNTS.items():
        body = body.replace(short, amount)
    return body


class World:
    """Both services with a company that nobody changes, so that runs can be compared."""

    def __init__(self, pipedrive: PipedriveServer, pendo: PendoServer) -> None:
        self.clock = Clock(pipedrive.company)
        self.config = {
            "pipedrive_api_token": pipedrive.token,
            "pipedrive_api_url": pipedrive.url,
            "pendo_integration_key": pendo.key,
            "pendo_api_url": pendo.url,
            # A version is the second in which a run began.
            "emit_activate_version_messages": False,
        }
        self._catalog = harness.discover(self.config)
        self._plain: dict[str, Run] = {}

    @property
    def catalog(self) -> dict[str, Any]:
        """A copy of the catalog, to select in."""
        return copy.deepcopy(self._catalog)

    def run(
        self,
        way: Callable[[Patch], None],
        catalog: dict[str, Any] | None = None,
        **extra: Any,
    ) -> Run:
        """Run a full sync in one of the ways."""
        with pytest.MonkeyPatch.context() as patch:
            way(patch)
            # At one time, so that the streams of events read the same buckets.
            self.clock.set(patch)
            # The SDK takes stream maps out of the settings while it reads them.
            config = self.config | copy.deepcopy(extra)
            run = harness.run_tap(patch, config, catalog=catalog or self._catalog)
        assert (run.exit_code, run.error) == (0, "")
        return run

    def plain(self, way: Callable[[Patch], None]) -> Run:
        """Run one of the ways over everything; the runs of a way are all the same."""
        if way.__name__ not in self._plain:
            streams = [stream for stream in CATALOG if stream != "pendo_visitor_history"]
            everything = harness.select(self.catalog, *streams)
            self._plain[way.__name__] = self.run(way, everything)
        return self._plain[way.__name__]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    company = Company(scale=0.02)
    for deal, amount in zip(list(company.tables["deals"]), AMOUNTS, strict=False):
        company.edit("deals", deal, value=float(amount))
        assert amount in company.encoded("deals", deal)
    with PipedriveServer(company) as pipedrive, PendoServer(company) as pendo:
        pipedrive.fault = lambda _request: Fault(mutate=exact)
        yield World(pipedrive, pendo)
        assert [*pipedrive.errors, *pendo.errors] == []


# The ways.


def by_page(patch: Patch) -> None:
    """The tap as it is."""


def by_first_schema(patch: Patch) -> None:
    """The tap as it is, but that a schema stays as it was."""
    patch.setattr(ApiStream, "_keep_up_with", lambda _self, _records: None)


def by_record(patch: Patch) -> None:
    """The tap with the SDK's loop over records."""
    patch.setattr(ApiStream, "_is_plain", False)


def _sdk(patch: Patch, writer: type[Any]) -> None:
    patch.setattr(ApiStream, "_is_plain", False)
    patch.setattr(ApiStream, "TYPE_CONFORMANCE_LEVEL", TypeConformanceLevel.RECURSIVE)
    # What the SDK cannot know: the times of Pipedrive's v1.
    converters = property(lambda self: compile_shaper({}, None, self.converters()))
    patch.setattr(ApiStream, "_shaper", converters)
    by_first_schema(patch)
    patch.setattr(TapPendoPipedrive, "message_writer_class", writer)


def by_sdk(patch: Patch) -> None:
    """The SDK's loop, conformance, deselection and writer."""
    _sdk(patch, MsgSpecWriter)


def by_sdk_simple(patch: Patch) -> None:
    """The same with the writer that the SDK takes where nobody chooses one."""
    _sdk(patch, SimpleSingerWriter)


# Comparisons.


def timeless(run: Run) -> list[bytes]:
    return [EXTRACTED.sub(b"", line) for line in run.lines]


def assert_same_bytes(one: Run, other: Run) -> None:
    assert len(one.of_type("RECORD")) > 0
    for line, its in zip(timeless(one), timeless(other), strict=True):
        assert line == its


def differences(ours: Any, sdk: Any, schema: Record, path: str) -> Iterator[str]:
    """Tell where two values differ, but for what differs on purpose."""
    properties = schema.get("properties", {})
    if isinstance(sdk, dict) and isinstance(ours, dict):
        # Attributes that the schema does not know are passed on, deeper ones by us only.
        kept = [name for name in ours if name in sdk or name in properties or "." not in path]
        if kept != list(sdk):
            yield f"{path}: {kept} instead of {list(sdk)}"
        for name in kept:
            below = f"{path}.{name}"
            yield from differences(ours[name], sdk.get(name), properties.get(name, {}), below)
    elif isinstance(sdk, list) and isinstance(ours, list) and len(ours) == len(sdk):
        for one, other in zip(ours, sdk, strict=True):
            yield from differences(one, other, schema.get("items", {}), f"{path}[]")
    elif str(schema.get("format")).startswith("date") and sdk in {"", "0000-00-00"}:
        if ours is not None:
            yield f"{path}: {ours!r} is no date"
    elif repr(ours) != repr(sdk):  # 1 is not true, and 1.10 is not 1.1.
        yield f"{path}: {ours!r} instead of {sdk!r}"


def without_drift(run: Run) -> list[Record]:
    """Leave out schemas that are sent again and what the state says of them."""
    seen: set[str] = set()
    kept = []
    for message in copy.deepcopy(run.messages):
        for state in message.get("value", {}).get("bookmarks", {}).values():
            state.pop("columns_beyond_catalog", None)
        if message["type"] != "SCHEMA" or message["stream"] not in seen:
            kept.append(message)
        if message["type"] == "SCHEMA":
            seen.add(message["stream"])
    return kept


def assert_same_values(ours: Run, sdk: Run) -> None:
    """Every message means the same, in the same order."""
    schemas = {message["stream"]: message["schema"] for message in sdk.of_type("SCHEMA")}
    assert sdk.of_type("RECORD")
    found: list[str] = []
    for one, other in zip(without_drift(ours), sdk.messages, strict=True):
        if other["type"] != "RECORD":
            assert one == other
            continue
        name = other["stream"]
        head = [
            {key: each.get(key) for key in ("type", "stream", "version")} for each in (one, other)
        ]
        assert head[0] == head[1]
        assert list(one) == list(other)
        found += differences(one["record"], other["record"], schemas[name], name)
    assert found == [], "\n".join(found[:3])


# Tests.


def test_every_stream_is_byte_for_byte_the_same_by_page_and_by_record(world: World) -> None:
    pages, records = world.plain(by_page), world.plain(by_record)
    assert {message["stream"] for message in pages.of_type("RECORD")} >= set(STREAMS | CHILDREN)
    assert_same_bytes(pages, records)


@pytest.mark.parametrize("way", [by_sdk, by_sdk_simple])
def test_every_stream_has_the_values_that_the_sdk_writes(
    way: Callable[[Patch], None], world: World
) -> None:
    assert_same_values(world.plain(by_page), world.plain(way))


def test_the_ways_are_different(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the comparisons would not be any."""
    paged: list[str] = []
    by_column = set()
    write = ColumnBatch.write

    def note_columns(batch: ColumnBatch, writer: Any, stream: str, version: int | None) -> int:
        by_column.add(stream)
        return write(batch, writer, stream, version)

    monkeypatch.setattr(ColumnBatch, "write", note_columns)
    plain = ApiStream._sync_pages

    def note(stream: ApiStream, context: Any) -> None:
        paged.append(stream.name)
        plain(stream, context)

    monkeypatch.setattr(ApiStream, "_sync_pages", note)
    run = world.run(by_page)
    assert set(paged) == set(run.streams) >= set(STREAMS)
    assert by_column == READ_BY_COLUMN
    paged.clear()
    by_column.clear()
    world.run(by_record)
    world.run(by_sdk)
    assert paged == []
    assert by_column == set()


@pytest.mark.parametrize("way", [by_page, by_record])
def test_pages_say_when_they_were_fetched(way: Callable[[Patch], None], world: World) -> None:
    for message in world.plain(way).of_type("RECORD"):
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", message["time_extracted"]
        )


def deselect(catalog: dict[str, Any], stream: str, *path: str) -> None:
    """Deselect an attribute, or the stream without one."""
    entry = next(each for each in catalog["streams"] if each["tap_stream_id"] == stream)
    breadcrumb = [part for name in path for part in ("properties", name)]
    found = [each for each in entry["metadata"] if each["breadcrumb"] == breadcrumb]
    if not found:
        found = [{"breadcrumb": breadcrumb, "metadata": {}}]
        entry["metadata"] += found
    found[0]["metadata"]["selected"] = False


@pytest.fixture(scope="module")
def selection(world: World) -> dict[str, Any]:
    """A catalog with deselected streams, attributes, and attributes of objects."""
    catalog = world.catalog
    codes = next(
        list(each["schema"]["properties"]["custom_fields"]["properties"])
        for each in catalog["streams"]
        if each["tap_stream_id"] == "pipedrive_deals"
    )
    for path in [
        ("pipedrive_currencies",),
        ("pendo_reports",),
        ("pipedrive_deals", "title"),
        ("pipedrive_deals", "brand_new_attribute"),
        *(("pipedrive_deals", "custom_fields", code) for code in codes[::2]),
        *(("pipedrive_leads", "custom_fields", code) for code in codes[1::2]),
        ("pipedrive_leads", "title"),
        ("pipedrive_persons", "custom_fields"),
        ("pipedrive_activities", "location"),
        ("pipedrive_notes", "content"),
        ("pipedrive_users", "last_login"),
        ("pendo_pages", "rules"),
        ("pendo_guides", "steps"),
    ]:
        deselect(catalog, *path)
    return catalog


def test_deselection(world: World, selection: dict[str, Any]) -> None:
    pages = world.run(by_page, selection)
    assert_same_bytes(pages, world.run(by_record, selection))
    assert_same_values(pages, world.run(by_sdk, selection))
    everything = world.plain(by_page)
    left_out = set(everything.streams) - set(pages.streams) - set(CHILDREN | LIVE_IDS)
    assert left_out == {"pipedrive_currencies", "pendo_reports"}
    for stream, gone in [("pipedrive_deals", "title"), ("pendo_guides", "steps")]:
        assert any(gone in record for record in everything.records(stream))
        assert not any(gone in record for record in pages.records(stream))
    codes = {code for each in pages.records("pipedrive_deals") for code in each["custom_fields"]}
    others = {
        code for each in everything.records("pipedrive_deals") for code in each["custom_fields"]
    }
    assert 0 < len(codes) < len(others)


def test_deselected_parents_of_selected_children(world: World) -> None:
    catalog = world.catalog
    deselect(catalog, "pipedrive_deals")
    deselect(catalog, "pipedrive_deal_products", "comments")
    pages = world.run(by_page, catalog)
    assert_same_bytes(pages, world.run(by_record, catalog))
    assert_same_values(pages, world.run(by_sdk, catalog))
    assert pages.records("pipedrive_deal_products")
    assert not pages.records("pipedrive_deals")


MAPS: dict[str, dict[str, Any]] = {
    "alias, filter, new and removed": {
        "pipedrive_deals": {
            "__alias__": "deals",
            "__filter__": "status == 'won'",
            "title_again": "title",
            "upper": "title.upper()",
            "double": "float(value or 0) * 2",
            "stage_id": None,
        },
        "pendo_guides": {"__alias__": "guides", "steps": None},
        "pipedrive_notes": {"content": "md5(config['hash_seed'] + content)"},
        "pipedrive_users": None,
    },
    "nothing else": {
        "pipedrive_products": {"id": "id", "again": "name", "__else__": None},
        "pipedrive_leads": {"__key_properties__": ["id"], "id": "id", "value": "value"},
        "__else__": None,
    },
}


@pytest.mark.parametrize("maps", MAPS)
def test_stream_maps(maps: str, world: World) -> None:
    extra: Record = {
        "stream_maps": MAPS[maps],
        "stream_map_config": {"hash_seed": "seed"},
    }
    pages = world.run(by_page, **extra)
    assert_same_bytes(pages, world.run(by_record, **extra))
    assert_same_values(pages, world.run(by_sdk, **extra))
    plain = world.plain(by_page)
    if maps.startswith("alias"):
        assert not pages.records("pipedrive_deals")
        won = [each for each in plain.records("pipedrive_deals") if each["status"] == "won"]
        deals = pages.records("deals")
        assert [each["upper"] for each in deals] == [each["title"].upper() for each in won]
        assert not any("stage_id" in each for each in deals)
        assert pages.records("pipedrive_persons") == plain.records("pipedrive_persons")
    else:
        assert set(pages.streams) == {"pipedrive_products", "pipedrive_leads"}
        names = {frozenset(each) for each in pages.records("pipedrive_products")}
        assert names == {frozenset({"id", "again"})}
        assert len(pages.records("pipedrive_leads")) == len(plain.records("pipedrive_leads"))


@pytest.mark.parametrize("condition", ["status == 'won'", "id % 2 == 0", "id < 0"])
def test_children_of_filtered_parents(condition: str, world: World) -> None:
    """The SDK reads the children of the parents that pass, and of no others."""
    catalog = harness.select(world.catalog, "pipedrive_deals", "pipedrive_deal_products")
    maps = {"pipedrive_deals": {"__filter__": condition}}
    run = world.run(by_page, catalog, stream_maps=maps)
    everything = world.plain(by_page)
    passing = {deal["id"] for deal in run.records("pipedrive_deals")}
    assert len(passing) < len(everything.records("pipedrive_deals"))
    items = everything.records("pipedrive_deal_products")
    wanted = [item for item in items if item["deal_id"] in passing]
    found = run.records("pipedrive_deal_products")
    assert sorted(item["id"] for item in found) == sorted(item["id"] for item in wanted)


def test_a_removed_parent_has_no_children(world: World) -> None:
    catalog = harness.select(world.catalog, "pipedrive_deals", "pipedrive_deal_products")
    run = world.run(by_page, catalog, stream_maps={"pipedrive_deals": None})
    assert run.of_type("RECORD") == []


@pytest.mark.parametrize("depth", [1, 3])
def test_flattening(depth: int, world: World) -> None:
    extra: Record = {"flattening_enabled": True, "flattening_max_depth": depth}
    pages = world.run(by_page, **extra)
    assert_same_bytes(pages, world.run(by_record, **extra))
    # An object that no schema declared is one column once the schema tells of it.
    assert_same_values(world.run(by_first_schema, **extra), world.run(by_sdk, **extra))
    records = pages.records("pipedrive_deals")
    assert any(name.startswith("custom_fields__") for each in records for name in each)
    assert not any(isinstance(each.get("custom_fields"), dict) for each in records)


def batched(run: Run) -> dict[str, list[bytes]]:
    """The lines of the files that a run's BATCH messages name, by stream."""
    lines: dict[str, list[bytes]] = {}
    for message in run.of_type("BATCH"):
        assert message["encoding"] == {"format": "jsonl", "compression": "gzip"}
        for address in message["manifest"]:
            path = Path(url2pathname(urlsplit(address).path))
            found = gzip.decompress(path.read_bytes()).splitlines()
            lines.setdefault(message["stream"], []).extend(found)
    return lines


def test_batch_files_hold_the_records_of_a_plain_run(
    world: World, selection: dict[str, Any], tmp_path: Path
) -> None:
    config = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": tmp_path.as_uri(), "prefix": "tap-"},
        "batch_size": 50,
    }
    run = world.run(by_page, selection, batch_config=config)
    plain = world.run(by_page, selection)
    assert run.of_type("RECORD") == []
    assert run.of_type("SCHEMA") == plain.of_type("SCHEMA")
    assert run.state == plain.state
    assert max(len(message["manifest"]) for message in run.of_type("BATCH")) == 1
    files = batched(run)
    assert set(files) == {message["stream"] for message in plain.of_type("RECORD")}
    for stream, lines in files.items():
        records = [json.loads(line, parse_float=Decimal) for line in lines]
        assert repr(records) == repr(plain.records(stream)), stream


def test_full_table_streams_carry_and_activate_a_version(world: World) -> None:
    extra: Record = {"emit_activate_version_messages": True}
    number = re.compile(rb'"version":\d+')
    runs = [world.run(way, **extra) for way in (by_page, by_record, by_sdk)]
    for run in runs:
        activated = {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}
        full = {name for name, each in STREAMS.items() if each.replication_key is None}
        assert activated == full - {
            "pipedrive_deal_installments",
            "pipedrive_deal_products",
            "pipedrive_mail_threads",
        }
        versions = {each["stream"]: each["version"] for each in run.of_type("ACTIVATE_VERSION")}
        for message in run.of_type("RECORD"):
            assert message.get("version") == versions.get(message["stream"])
        run.lines = [number.sub(b'"version":1', line) for line in run.lines]
        for message in run.messages:
            if "version" in message:
                message["version"] = 1
    assert_same_bytes(runs[0], runs[1])
    assert_same_values(runs[0], runs[2])


AMOUNT = re.compile(rb'"value":(-?[0-9.E+]+)[,}]')


def digits(amount: bytes) -> bytes:
    return amount.upper().replace(b"E+", b"E")


def test_amounts_keep_every_digit(world: World, tmp_path: Path) -> None:
    batch = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": tmp_path.as_uri()},
    }
    catalog = harness.select(world.catalog, "pipedrive_deals")
    maps = {"stream_maps": {"pipedrive_deals": {"__filter__": "True"}}}
    lines = {
        "by page": world.plain(by_page).lines,
        "by record": world.plain(by_record).lines,
        "mapped": world.run(by_page, catalog, **maps).lines,
        "batched": batched(world.run(by_page, catalog, batch_config=batch))["pipedrive_deals"],
    }
    for way, written in lines.items():
        found = {digits(each) for line in written for each in AMOUNT.findall(line)}
        missing = {digits(amount) for amount in AMOUNTS.values()} - found
        assert not missing, way
