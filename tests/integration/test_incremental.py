"""Runs that continue others: state, bookmarks, windows, and changes while a list is read."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.core.stream import ApiStream
from tests.harness import Run, Tables, discover, log_text, select
from tests.integration import expected
from tests.integration.expected import INCREMENTAL, STREAMS
from tests.sandbox import Fault
from tests.sandbox.changes import change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.integration.conftest import Sync
    from tests.sandbox import Company, PendoServer, PipedriveServer
    from tests.sandbox.server import Request, SandboxServer

    Edit = Callable[[], Any]


def ids(company: Company) -> dict[str, set[Any]]:
    """The ids of every stream's rows."""
    return {
        name: {key[0] if len(key) == 1 else key for key in expected.rows(company, name)}
        for name in STREAMS
    }


def vanished(before: dict[str, set[Any]], company: Company) -> dict[str, set[Any]]:
    after = ids(company)
    return {name: keys - after[name] for name, keys in before.items()}


# A second run.


def test_second_run_after_a_working_day(
    sync: Sync, company: Company, pipedrive: PipedriveServer, servers: list[SandboxServer]
) -> None:
    tables = Tables()
    first = sync()
    tables.load(first.messages)
    before = ids(company)
    change(company, 120)
    gone = vanished(before, company)
    assert gone["pipedrive_activities"]
    assert gone["pipedrive_deal_products"]
    second = sync(state=first.state)
    assert second.exit_code == 0
    expected.check_surviving(tables.load(second.messages), company, gone)


def test_second_run_reads_only_what_changed(
    sync: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    first = sync()
    pipedrive.reset()
    second = sync(state=first.state)
    filtered = [name for name, stream in STREAMS.items() if stream.filtered]
    for stream in filtered:
        path = STREAMS[stream].path
        requests = [r for r in pipedrive.requests if r.path == path]
        assert len(requests) == 1, stream
        assert "updated_since" in requests[0].params, stream
        # The rows of the bookmark's second are read again.
        bulk = len(first.records(stream)) / 3
        assert 1 <= len(second.records(stream)) <= bulk, stream
    assert second.state == first.state
    assert (
        len(pipedrive.requests) <= 27 + 58
    )  # Full tables: roles and permission sets most of them.


def test_third_run_continues_the_second(sync: Sync, company: Company) -> None:
    tables = Tables()
    state: dict[str, Any] | None = None
    before = ids(company)
    gone: dict[str, set[Any]] = {}
    for turn in range(3):
        run = sync(state=state)
        assert run.exit_code == 0
        tables.load(run.messages)
        expected.check_surviving(tables, company, gone)
        state = run.state
        change(company, 40, turn)
        gone = vanished(before, company)
        before = {name: before[name] | keys for name, keys in ids(company).items()}


def test_an_edit_in_the_second_of_the_bookmark_is_read(sync: Sync, company: Company) -> None:
    company.tick_per_edit = 0
    company.tick()
    key, other = list(company.tables["persons"])[:2]
    company.edit("persons", key, name="First")
    first = sync()
    company.edit("persons", other, name="Second, in the same second")
    second = sync(state=first.state)
    tables = Tables().load(first.messages).load(second.messages)
    expected.check(tables, company, ["pipedrive_persons"])


@pytest.mark.parametrize(
    ("table", "stream"),
    [
        ("deals", "pipedrive_deals"),
        ("activities", "pipedrive_activities"),
        ("notes", "pipedrive_notes"),
        ("files", "pipedrive_files"),
        ("leads", "pipedrive_leads"),
    ],
)
def test_many_rows_of_one_second_over_page_edges(
    table: str, stream: str, sync_only: Sync, company: Company, small_pages: int
) -> None:
    company.tick_per_edit = 0
    company.tick()
    text = {"deals": "title", "activities": "subject", "notes": "content", "leads": "title"}
    for key in list(company.tables[table])[5 : 5 + 3 * small_pages]:
        company.edit(table, key, **{text.get(table, "name"): "Bulk edit"})
    first = sync_only(stream)
    tables = Tables().load(first.messages)
    expected.check(tables, company, [stream])
    key = next(iter(company.tables[table]))
    company.edit(table, key, **{text.get(table, "name"): "One more"})
    second = sync_only(stream, state=first.state)
    expected.check(tables.load(second.messages), company, [stream])


def test_a_deal_is_archived_and_comes_back(sync: Sync, company: Company) -> None:
    first = sync()
    tables = Tables().load(first.messages)
    current = [r["id"] for r in company.rows("deals") if not r["is_archived"] | r["is_deleted"]]
    company.archive_deal(current[0])
    second = sync(state=first.state)
    expected.check(tables.load(second.messages), company, ["pipedrive_deals"])
    company.unarchive_deal(current[0])
    third = sync(state=second.state)
    expected.check(tables.load(third.messages), company, ["pipedrive_deals"])


def test_an_archived_lead_is_found(sync_only: Sync, company: Company) -> None:
    first = sync_only("pipedrive_leads")
    key = next(r["id"] for r in company.rows("leads") if not r["is_archived"])
    company.archive_lead(key)
    second = sync_only("pipedrive_leads", state=first.state)
    tables = Tables().load(first.messages).load(second.messages)
    expected.check(tables, company, ["pipedrive_leads"])


def test_rows_without_a_replication_key_are_always_kept_where_the_tap_filters(
    sync: Sync, company: Company
) -> None:
    first = sync()
    second = sync(state=first.state)
    found = 0
    for name, stream in INCREMENTAL.items():
        if stream.filtered:
            continue
        key = str(stream.replication_key)
        nulls = {k for k, row in expected.rows(company, name).items() if row[key] is None}
        found += len(nulls)
        assert nulls <= {stream.key_of(record) for record in second.records(name)}, name
    assert found >= 5


# Settings that cut the time.


def moments(company: Company, stream: str) -> dict[Any, str | None]:
    """Replication keys by id, as whole seconds in comparable text."""
    key = str(INCREMENTAL[stream].replication_key)
    return {k: row[key] and row[key][:19] for k, row in expected.rows(company, stream).items()}


START, MIDDLE, END = "2022-01-01T00:00:00Z", "2024-06-30T12:00:00+02:00", "2025-12-01T00:00:00Z"
SECONDS = {START: "2022-01-01T00:00:00", MIDDLE: "2024-06-30T10:00:00", END: "2025-12-01T00:00:00"}


def wanted(company: Company, stream: str, low: str | None, high: str | None) -> set[Any]:
    start, end = SECONDS.get(low or "", ""), SECONDS.get(high or "", "~")
    return {k for k, moment in moments(company, stream).items() if moment and start <= moment < end}


def keys_of(run: Run, stream: str) -> set[Any]:
    """Ids of a run's rows that have a replication key."""
    key = STREAMS[stream].replication_key
    rows = run.records(stream)
    return {STREAMS[stream].key_of(row) for row in rows if key and row[key] is not None}


def test_start_date(sync: Sync, company: Company) -> None:
    run = sync(start_date=MIDDLE)
    assert run.exit_code == 0
    for stream in INCREMENTAL:
        assert keys_of(run, stream) == wanted(company, stream, MIDDLE, None), stream


def test_end_date_is_exclusive(sync: Sync, company: Company) -> None:
    edge = company.get("activities", next(iter(company.tables["activities"])))["update_time"]
    run = sync(end_date=edge)
    assert run.exit_code == 0
    for stream in INCREMENTAL:
        early = {
            k for k, moment in moments(company, stream).items() if moment and moment < edge[:19]
        }
        assert keys_of(run, stream) == early, stream


def test_windows_tile(sync: Sync, company: Company) -> None:
    for stream in INCREMENTAL:
        assert wanted(company, stream, START, END), stream
    left, right = sync(start_date=START, end_date=MIDDLE), sync(start_date=MIDDLE, end_date=END)
    for stream in INCREMENTAL:
        low, high = keys_of(left, stream), keys_of(right, stream)
        assert not low & high, stream
        assert low | high == wanted(company, stream, START, END), stream


def test_a_row_exactly_on_the_edge_is_in_the_later_window(
    sync_only: Sync, company: Company
) -> None:
    edge = "2023-05-05T05:05:05Z"
    for table, stream in (("persons", "pipedrive_persons"), ("notes", "pipedrive_notes")):
        key = next(iter(company.tables[table]))
        style = edge if table == "persons" else "2023-05-05 05:05:05"
        company.edit(table, key, update_time=style)
        before = sync_only(stream, start_date=START, end_date=edge)
        after = sync_only(stream, start_date=edge, end_date=END)
        assert (key,) not in keys_of(before, stream)
        assert (key,) in keys_of(after, stream)


def test_products_of_deals_follow_the_window_of_the_deals(sync: Sync, company: Company) -> None:
    run = sync(start_date=MIDDLE, end_date=END)
    deals = {key for (key,) in wanted(company, "pipedrive_deals", MIDDLE, END)}
    items = {row["id"] for row in company.rows("deal_products") if row["deal_id"] in deals}
    assert items
    assert {row["id"] for row in run.records("pipedrive_deal_products")} == items


def test_the_bookmark_beats_an_earlier_start_date(sync: Sync, company: Company) -> None:
    first = sync()
    second = sync(state=first.state, start_date="2020-01-01T00:00:00Z")
    assert second.state == first.state
    for stream in INCREMENTAL:
        assert len(keys_of(second, stream)) < len(keys_of(first, stream)), stream


def test_api_is_asked_for_whole_seconds(sync: Sync, pipedrive: PipedriveServer) -> None:
    run = sync(start_date="2024-06-30T12:00:00.75+02:00", end_date="2025-01-01T00:00:00.5Z")
    assert run.exit_code == 0
    asked = {r.path: r.params for r in pipedrive.requests if "updated_since" in r.params}
    assert asked["/api/v2/deals"]["updated_since"] == "2024-06-30T10:00:00Z"
    assert asked["/api/v2/deals"]["updated_until"] == "2025-01-01T00:00:01Z"
    assert "updated_until" not in asked["/api/v2/products"]


@pytest.mark.parametrize("stream", ["pipedrive_persons", "pipedrive_users", "pendo_pages"])
def test_full_table_through_the_catalog(
    stream: str, sync: Sync, config: dict[str, Any], company: Company, pipedrive: PipedriveServer
) -> None:
    first = sync()
    catalog = select(discover(config), stream)
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
        for metadata in entry["metadata"]:
            if not metadata["breadcrumb"]:
                metadata["metadata"]["replication-method"] = "FULL_TABLE"
    pipedrive.reset()
    run = sync(state=first.state, catalog=catalog, start_date=END)
    assert run.exit_code == 0
    expected.check(Tables().load(run.messages), company, [stream])
    assert not [r for r in pipedrive.requests if "updated_since" in r.params]


# The shape of the state.


def test_shape_of_the_state(sync: Sync, company: Company) -> None:
    bookmarks = sync().state["bookmarks"]
    assert set(bookmarks) <= set(STREAMS)
    for stream, declared in STREAMS.items():
        state = bookmarks.get(stream, {})
        for column in state.pop("columns_beyond_catalog", {}):
            assert column == "brand_new_attribute", stream
        if stream in {"pipedrive_deals", "pipedrive_leads", "pipedrive_projects"}:
            assert set(state) == {"partitions"}
            contexts = [partition.pop("context") for partition in state["partitions"]]
            assert contexts == [{"is_archived": False}, {"is_archived": True}]
            parts = state["partitions"]
        else:
            parts = [state]
        for part in parts:
            if declared.replication_key:
                assert set(part) == {"replication_key", "replication_key_value"}, stream
                assert part["replication_key"] == declared.replication_key
            else:
                assert part == {}, stream


def test_bookmarks_are_the_latest_replication_keys(sync: Sync, company: Company) -> None:
    run = sync()
    for stream, declared in INCREMENTAL.items():
        key = str(declared.replication_key)
        for archived in (False, True):
            parted = stream in {"pipedrive_deals", "pipedrive_leads"}
            values = [
                row[key]
                for row in expected.rows(company, stream).values()
                if row[key] and (not parted or row["is_archived"] == archived)
            ]
            context = {"is_archived": archived} if parted else {}
            assert run.bookmark(stream, **context) == max(values), stream


def test_a_state_is_written_for_every_stream(sync: Sync) -> None:
    run = sync()
    assert len(run.states) >= len(INCREMENTAL)
    assert run.messages[-1]["type"] == "STATE"


# Every state is one from which the next run completes the tables.


def check_every_state(
    run: Run,
    resume: Callable[[dict[str, Any]], Run],
    company: Company,
    streams: Iterable[str] = STREAMS,
) -> int:
    """Kill the run after each STATE message, continue from it, and compare the tables."""
    states: list[int] = []
    last = None
    for place, message in enumerate(run.messages):
        if message["type"] == "STATE" and message["value"] != last:
            last = message["value"]
            states.append(place)
    for place in states:
        second = resume(run.messages[place]["value"])
        assert second.exit_code == 0
        tables = Tables().load(run.messages[: place + 1]).load(second.messages)
        try:
            expected.check(tables, company, streams)
        except AssertionError as error:
            state = run.messages[place]["value"]
            raise AssertionError(f"{error}\nafter message {place}, {state}") from error
    return len(states)


@pytest.fixture
def frequent_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiStream, "STATE_MSG_FREQUENCY", 45)


@pytest.mark.usefixtures("frequent_states")
def test_every_state_of_a_full_sync_is_safe(sync_only: Sync, company: Company) -> None:
    """One stream of each kind."""
    streams = (
        "pendo_pages",
        "pipedrive_deals",
        "pipedrive_deal_products",
        "pipedrive_files",
        "pipedrive_leads",
        "pipedrive_persons",
        "pipedrive_roles",
        "pipedrive_users",
    )
    first = sync_only(*streams)
    checked = check_every_state(
        first, lambda state: sync_only(*streams, state=state), company, streams
    )
    assert checked >= 10


WALKED = ("pipedrive_persons", "pipedrive_deals", "pipedrive_deal_products", "pipedrive_notes")


@pytest.mark.usefixtures("frequent_states", "small_pages")
def test_every_state_is_safe_when_nulls_are_sorted_last(
    monkeypatch: pytest.MonkeyPatch, sync_only: Sync, company: Company
) -> None:
    """A run that ends before such rows were read must leave them to the next one."""

    class Last(int):
        """Larger than what a value has in this place, and false as for any null."""

        def __bool__(self) -> bool:
            return False

    def rank(value: Any) -> tuple[int, Any]:
        return (Last(2), 0) if value is None else (1, value)

    monkeypatch.setattr("tests.sandbox.store.rank", rank)
    monkeypatch.setattr("tests.sandbox.lists.rank", rank)
    for table in ("persons", "deals"):
        for key in list(company.tables[table])[20:25]:
            company.edit(table, key, update_time=None)
    first = sync_only(*WALKED)
    assert first.records("pipedrive_persons")[-1]["update_time"] is None
    checked = check_every_state(
        first, lambda state: sync_only(*WALKED, state=state), company, WALKED
    )
    assert checked > 8


@pytest.mark.usefixtures("frequent_states", "small_pages")
def test_every_state_is_safe_when_the_api_does_not_sort(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    def reverse(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["data"] = (answer["data"] or [])[::-1]
        return json.dumps(answer).encode()

    streams = ("pipedrive_persons", "pipedrive_deals", "pipedrive_deal_products")
    pipedrive.fault = lambda r: (
        Fault(mutate=reverse) if r.path in {"/api/v2/persons", "/api/v2/deals"} else None
    )
    first = sync_only(*streams)
    assert first.exit_code == 0
    checked = check_every_state(
        first, lambda state: sync_only(*streams, state=state), company, streams
    )
    assert checked > 5


@pytest.mark.usefixtures("frequent_states", "small_pages")
def test_every_state_of_a_second_run_is_safe(sync_only: Sync, company: Company) -> None:
    streams = ("pipedrive_deals", "pipedrive_deal_products")
    before = sync_only(*streams)
    for key in list(company.tables["deals"])[:70]:
        company.edit("deals", key, title="Edited")
    second = sync_only(*streams, state=before.state)
    both = Run(messages=before.messages + second.messages)
    checked = check_every_state(
        both, lambda state: sync_only(*streams, state=state), company, streams
    )
    assert checked > 5


# Odd values.


def test_a_date_in_the_future_does_not_hide_later_changes(
    sync_only: Sync, company: Company
) -> None:
    company.edit("persons", 1, update_time="2999-01-01T00:00:00Z")
    company.edit("users", 1, modified="2999-01-01 00:00:00")
    key = next(iter(company.tables["pages"]))
    company.edit("pages", key, lastUpdatedAt=32_472_144_000_000)
    streams = ("pipedrive_persons", "pipedrive_users", "pendo_pages")
    first = sync_only(*streams)
    limit = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()
    for stream in streams:
        assert (first.bookmark(stream) or "~") < limit, stream
    company.edit("persons", 2, name="Later")
    company.edit("users", 2, name="Later")
    company.edit("pages", list(company.tables["pages"])[1], name="Later")
    second = sync_only(*streams, state=first.state)
    expected.check(Tables().load(first.messages).load(second.messages), company, streams)


@pytest.mark.parametrize(
    ("stream", "value"),
    [
        ("pipedrive_persons", "yesterday"),
        ("pipedrive_persons", 1772000000),
        ("pipedrive_persons", {"at": "noon"}),
        ("pipedrive_users", ["2026-01-01"]),
        ("pendo_pages", True),
    ],
)
def test_garbage_in_the_state_fails_its_stream_only(
    stream: str, value: Any, sync: Sync, company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    key = STREAMS[stream].replication_key
    state = {"bookmarks": {stream: {"replication_key": key, "replication_key_value": value}}}
    run = sync(state=state)
    assert run.exit_code == 1
    assert stream in run.error
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert any(stream in text and "state" in text for text in errors)
    others = set(STREAMS) - {stream}
    expected.check(Tables().load(run.messages), company, others)


@pytest.mark.parametrize(
    "broken",
    [
        {"partitions": "none"},
        {"partitions": [{"is_archived": False}]},
        {
            "partitions": [
                {
                    "context": {"is_archived": False},
                    "replication_key": "update_time",
                    "replication_key_value": "soon",
                }
            ]
        },
        "2026-01-01",
    ],
)
def test_garbage_in_the_partitions_fails_its_stream_only(
    broken: Any, sync: Sync, company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    run = sync(state={"bookmarks": {"pipedrive_deals": broken}})
    assert run.exit_code == 1
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert any("pipedrive_deals" in text and "state" in text for text in errors)
    of_deals = {"pipedrive_deals", "pipedrive_deal_products", "pipedrive_deal_installments"}
    others = set(STREAMS) - of_deals
    expected.check(Tables().load(run.messages), company, others)


def test_old_state_with_unknown_parts_is_readable(sync: Sync, company: Company) -> None:
    first = sync()
    state = json.loads(json.dumps(first.state))
    state["version"] = 0
    state["bookmarks"]["pipedrive_abolished"] = {"replication_key_value": "2020-01-01"}
    state["bookmarks"]["pipedrive_persons"]["note"] = "from an older version"
    state["bookmarks"]["pipedrive_deals"]["partitions"].append(
        {"context": {"is_archived": None}, "replication_key_value": "2020-01-01"}
    )
    for partition in state["bookmarks"]["pipedrive_deals"]["partitions"]:
        partition["extra"] = [1]
    company.edit("persons", 3, name="Later")
    second = sync(state=state)
    assert second.exit_code == 0
    assert len(second.records("pipedrive_persons")) < len(first.records("pipedrive_persons"))
    expected.check(Tables().load(first.messages).load(second.messages), company)


def test_a_bookmark_of_another_replication_key_is_not_used(
    sync_only: Sync, company: Company
) -> None:
    bookmark = {"replication_key": "add_time", "replication_key_value": "2026-01-01T00:00:00Z"}
    run = sync_only("pipedrive_persons", state={"bookmarks": {"pipedrive_persons": bookmark}})
    expected.check(Tables().load(run.messages), company, ["pipedrive_persons"])


# Changes while a list is being read.

TEXT = {
    "persons": "name",
    "organizations": "name",
    "activities": "subject",
    "deals": "title",
    "products": "name",
    "leads": "title",
    "notes": "content",
    "files": "name",
    "roles": "name",
}
CURSOR_LISTS = ("persons", "deals")
OFFSET_LISTS = ("notes", "files", "leads", "roles")


def seen_and_unseen(company: Company, table: str, order: str) -> tuple[Any, Any]:
    """A row from the beginning of a list and one from its end."""
    rows = [row for row in company.rows(table) if not row.get("is_archived")]
    rows = [row for row in rows if not row.get("is_deleted")]
    if order in rows[0]:
        rows.sort(key=lambda row: row[order] or "")
    return rows[3]["id"], rows[-2]["id"]


def edit_something(company: Company, table: str, what: str) -> Any:
    """Change a list; returns the id of a row that was edited, if that is what was done."""
    early, late = seen_and_unseen(company, table, "update_time")
    if what.startswith("edit"):
        key = early if what == "edit early" else late
        company.edit(table, key, **{TEXT[table]: "Edited in the middle"})
        return key
    if what == "delete early":
        company.delete(table, early)
    elif what == "delete late":
        company.delete(table, late)
    elif what == "delete several":
        for _ in range(3):
            company.delete(table, seen_and_unseen(company, table, "update_time")[0])
    else:
        company.add(table, **{TEXT[table]: "Added in the middle"})
    return None


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(
    "what", ["edit early", "edit late", "delete early", "delete late", "delete several", "insert"]
)
@pytest.mark.parametrize("table", CURSOR_LISTS + OFFSET_LISTS)
def test_a_change_in_the_middle_of_a_list_loses_nothing(
    table: str, what: str, sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    stream = f"pipedrive_{table}"
    if table in {"roles", "files", "leads", "notes"}:
        while len(company.tables[table]) < 70:
            company.add(table, **{TEXT[table]: "One more"})
    before = ids(company)
    arrivals = 0
    edited = None

    def edit(request: Request) -> None:
        nonlocal arrivals, edited
        if request.path == STREAMS[stream].path:
            arrivals += 1
            if arrivals == 2:
                edited = edit_something(company, table, what)

    pipedrive.before_answer = edit
    first = sync_only(stream)
    assert arrivals > 2
    assert first.exit_code == 0
    pipedrive.reset()
    # What stayed as it was is in the first run already. An edited row may have moved to a part of
    # the list that was read before, under the eyes of the next run's filter.
    stayed = (before[stream] & ids(company)[stream]) - {edited}
    assert stayed <= {row["id"] for row in first.records(stream)}
    second = sync_only(stream, state=first.state)
    tables = Tables().load(first.messages).load(second.messages)
    expected.check_surviving(tables, company, vanished(before, company), [stream])


@pytest.mark.usefixtures("small_pages")
def test_deals_that_move_between_the_lists_while_they_are_read(
    sync: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    moved = False

    def archive(request: Request) -> None:
        nonlocal moved
        if request.path == "/api/v2/deals" and "cursor" in request.params and not moved:
            moved = True
            rows = [r for r in company.rows("deals") if not r["is_deleted"] | r["is_archived"]]
            rows.sort(key=lambda row: row["update_time"] or "")
            for row in (rows[0], rows[-1]):
                company.archive_deal(row["id"])
            archived = [r for r in company.rows("deals") if r["is_archived"]]
            company.unarchive_deal(archived[0]["id"])

    pipedrive.before_answer = archive
    first = sync()
    assert moved
    second = sync(state=first.state)
    tables = Tables().load(first.messages).load(second.messages)
    expected.check(tables, company)


@pytest.mark.usefixtures("small_pages")
def test_line_items_added_while_deals_are_read(
    sync: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    added = False

    def add(request: Request) -> None:
        nonlocal added
        if request.path == "/api/v2/deals/products" and not added:
            added = True
            current = [r for r in company.rows("deals") if not r["is_deleted"] | r["is_archived"]]
            for row in (current[0], current[-1]):
                company.add_product_to_deal(row["id"], next(iter(company.tables["products"])))

    pipedrive.before_answer = add
    first = sync()
    assert added
    second = sync(state=first.state)
    tables = Tables().load(first.messages).load(second.messages)
    expected.check(tables, company)


def test_a_list_that_changes_says_nothing_in_the_log(
    sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    sync()
    assert "does not sort" not in log_text(caplog)


def test_pendo_rows_are_read_again_to_the_second(
    sync_only: Sync, company: Company, pendo: PendoServer
) -> None:
    keys = list(company.tables["features"])
    for key, millis in zip(keys[:3], (0, 250, 999), strict=True):
        company.edit("features", key, lastUpdatedAt=1_772_400_000_000 + millis)
    first = sync_only("pendo_features")
    second = sync_only("pendo_features", state=first.state)
    assert {row["id"] for row in second.records("pendo_features")} == set(keys[:3])
