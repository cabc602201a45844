"""Long lists are read in several windows of time at once, and nobody can tell from the result."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.core.stream import ApiStream
from tests.harness import Tables
from tests.integration import expected
from tests.integration.expected import STREAMS
from tests.integration.test_incremental import check_every_state

if TYPE_CHECKING:
    from tests.integration.conftest import Sync
    from tests.sandbox import Company, PipedriveServer
    from tests.sandbox.server import Request

STREAM, PATH, TABLE = "pipedrive_persons", STREAMS["pipedrive_persons"].path, "persons"
BEGIN = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=30)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def spread(company: Company, per_second: int = 1) -> None:
    """Give rows update times at even distances over the last month, a few rows a second."""
    rows = company.tables[TABLE]
    step = timedelta(days=29) / (len(rows) / per_second)
    for place, row in enumerate(rows.values()):
        row["update_time"] = text(BEGIN + step * (place // per_second))
    company.touch(TABLE)


@pytest.fixture(autouse=True)
def long_list(small_pages: int, company: Company) -> None:
    spread(company)


def windows(server: PipedriveServer) -> set[str]:
    """The beginnings of the windows that were asked for."""
    asked = [request for request in server.requests if request.path == PATH]
    return {
        request.params["updated_since"] for request in asked if "updated_since" in request.params
    }


@pytest.mark.parametrize("per_second", [1, 3, 7, 25])
def test_windows_tile_the_list(
    per_second: int, sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    spread(company, per_second)
    run = sync_only(STREAM)
    assert run.exit_code == 0
    if per_second < 20:  # A page of one second has no pace.
        assert len(windows(pipedrive)) >= 2
    expected.check(Tables().load(run.messages), company, [STREAM])
    ids = [row["id"] for row in run.records(STREAM)]
    assert len(ids) == len(set(ids))
    moments = [row["update_time"] for row in run.records(STREAM)]
    assert moments == sorted(moments)
    assert run.bookmark(STREAM) == moments[-1]


def test_one_request_at_a_time_needs_no_windows(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    run = sync_only(STREAM, max_concurrency=1)
    assert windows(pipedrive) == set()
    expected.check(Tables().load(run.messages), company, [STREAM])


@pytest.mark.parametrize("last", [False, True])
def test_rows_without_an_update_time_come_too(
    last: bool, monkeypatch: pytest.MonkeyPatch, sync_only: Sync, company: Company
) -> None:
    if last:

        class Last(int):
            def __bool__(self) -> bool:
                return False

        def rank(value: Any) -> tuple[int, Any]:
            return (Last(2), 0) if value is None else (1, value)

        monkeypatch.setattr("tests.sandbox.store.rank", rank)
        monkeypatch.setattr("tests.sandbox.lists.rank", rank)
    for key in list(company.tables[TABLE])[:7]:
        company.edit(TABLE, key, update_time=None)
    run = sync_only(STREAM)
    expected.check(Tables().load(run.messages), company, [STREAM])


def test_newer_rows_than_this_machines_clock_come_too(sync_only: Sync, company: Company) -> None:
    late = text(datetime.now(timezone.utc) + timedelta(minutes=5))
    company.edit(TABLE, next(iter(company.tables[TABLE])), update_time=late)
    run = sync_only(STREAM)
    expected.check(Tables().load(run.messages), company, [STREAM])


def test_end_date_stays_exclusive(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    rows = list(company.tables[TABLE].values())
    start, end = rows[20]["update_time"], rows[170]["update_time"]
    run = sync_only(STREAM, start_date=start, end_date=end)
    assert len(windows(pipedrive)) >= 2
    found = {row["id"] for row in run.records(STREAM)}
    assert found == {row["id"] for row in rows if start <= row["update_time"] < end}


def test_every_state_is_safe(
    monkeypatch: pytest.MonkeyPatch, sync_only: Sync, company: Company
) -> None:
    monkeypatch.setattr(ApiStream, "STATE_MSG_FREQUENCY", 25)
    for key in list(company.tables[TABLE])[40:45]:
        company.edit(TABLE, key, update_time=None)
    first = sync_only(STREAM)
    checked = check_every_state(
        first, lambda state: sync_only(STREAM, state=state), company, [STREAM]
    )
    assert checked > 5


@pytest.mark.parametrize("what", ["edit", "delete", "insert"])
@pytest.mark.parametrize("place", [2, 100, -2])
@pytest.mark.parametrize("arrival", [2, 4, 6])
def test_a_change_while_windows_are_read_loses_nothing(
    what: str,
    place: int,
    arrival: int,
    *,
    sync_only: Sync,
    company: Company,
    pipedrive: PipedriveServer,
) -> None:
    key = list(company.tables[TABLE])[place]
    before = {row["id"] for row in company.rows(TABLE)}
    arrivals = 0

    def change(request: Request) -> None:
        nonlocal arrivals
        arrivals += request.path == PATH
        if request.path == PATH and arrivals == arrival:
            now = text(datetime.now(timezone.utc))
            if what == "edit":
                company.edit(TABLE, key, name="Edited", update_time=now)
            elif what == "delete":
                company.delete(TABLE, key)
            else:
                company.add(TABLE, name="Added", update_time=now)

    pipedrive.before_answer = change
    first = sync_only(STREAM)
    assert first.exit_code == 0
    assert arrivals > arrival
    pipedrive.before_answer = None
    second = sync_only(STREAM, state=first.state)
    gone = before - {row["id"] for row in company.rows(TABLE)}
    tables = Tables().load(first.messages).load(second.messages)
    expected.check_surviving(tables, company, {STREAM: gone}, [STREAM])


def test_a_failing_window_keeps_the_bookmark_before_it(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    """Later windows may have been fetched already; their rows must not move the bookmark."""
    from tests.sandbox import Fault

    starts: list[str] = []

    def fail(request: Request) -> Fault | None:
        since = request.params.get("updated_since") if request.path == PATH else None
        if since and since not in starts:
            starts.append(since)
        return Fault(status=500) if since and since == min(starts) else None

    pipedrive.fault = fail
    first = sync_only(STREAM, max_retries=1)
    assert first.exit_code == 1
    assert starts
    pipedrive.reset()
    second = sync_only(STREAM, state=first.state)
    assert second.exit_code == 0
    expected.check(Tables().load(first.messages).load(second.messages), company, [STREAM])
