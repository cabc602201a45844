"""Bad days: what the tap does when a server or the network misbehaves."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests import harness
from tests.harness import Run, Tables, command, log_text, parse
from tests.integration import expected
from tests.integration.expected import PENDO, PIPEDRIVE, STREAMS
from tests.sandbox import Company, Fault, PendoServer, PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import Sync
    from tests.sandbox.server import Request

PERSONS = "/api/v2/persons"
NOTES = "/v1/notes"
PRODUCTS = "/api/v2/products"
LINE_ITEMS = "/api/v2/deals/products"
PAGES = "/api/v1/page"
# One stream of each kind, for tests that look at the others too.
SOME = (
    "pendo_pages",
    "pendo_reports",
    "pipedrive_currencies",
    "pipedrive_deal_products",
    "pipedrive_deals",
    "pipedrive_notes",
    "pipedrive_persons",
    "pipedrive_products",
    "pipedrive_roles",
    "pipedrive_users",
)
STREAM_OF = {stream.path: name for name, stream in STREAMS.items()}


@pytest.fixture
def sync_some(sync_only: Sync) -> Sync:
    return functools.partial(sync_only, *SOME)


def at(path: str, fault: Fault, *, times: int | None = None) -> Callable[[Request], Fault | None]:
    """Show a fault at this path, so many times or always."""
    shown = 0

    def decide(request: Request) -> Fault | None:
        nonlocal shown
        if request.path != path or (times is not None and shown >= times):
            return None
        shown += 1
        return fault

    return decide


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno >= level)


def assert_others_complete(run: Run, company: Company, *failed: str) -> None:
    """Assert that the other ones of some streams were read whole."""
    expected.check(Tables().load(run.messages), company, set(SOME) - set(failed))


def server_of(path: str, pipedrive: PipedriveServer, pendo: PendoServer) -> Any:
    return pendo if path == PAGES else pipedrive


def halve(body: bytes) -> bytes:
    return body[: len(body) // 2]


def with_null_rows(body: bytes) -> bytes:
    answer = json.loads(body)
    rows = answer if isinstance(answer, list) else answer["data"]
    rows[1:1] = [None, None]
    return json.dumps(answer).encode()


FAILED = {"success": False, "error": "sorry", "data": None}
NULL_IN_THE_MIDDLE = {"success": True, "data": None, "additional_data": {"next_cursor": "abc"}}
NULL_IN_THE_MIDDLE_V1 = {
    "success": True,
    "data": None,
    "additional_data": {"pagination": {"more_items_in_collection": True, "next_start": 500}},
}
PASSING = {
    "dropped": Fault(drop=True),
    "slow": Fault(delay=1.2),
    "cut off": Fault(truncate=100),
    "half a body": Fault(mutate=halve),
    "not JSON": Fault(garbage=True),
    "empty": Fault(status=200, body=b""),
    "success false": Fault(status=200, body=FAILED),
    "no data": Fault(status=200, body={}),
    "success only": Fault(status=200, body={"success": True}),
    "not a list": Fault(status=200, body={"success": True, "data": {"id": 1}}),
    "not UTF-8": Fault(mutate=lambda body: body.replace(b'"id"', b'"\xff"', 1)),
    "not quite JSON": Fault(mutate=lambda body: body.replace(b'"id"', b'"\\q"', 1)),
    "null": Fault(status=200, body=b"null"),
    "a text": Fault(status=200, body=b'"busy"'),
    "null in the middle": Fault(status=200, body=NULL_IN_THE_MIDDLE),
    "null in the middle of v1": Fault(status=200, body=NULL_IN_THE_MIDDLE_V1),
    "408": Fault(status=408),
    "500": Fault(status=500),
    "502 with a page": Fault(status=502, body="<h1>Bad gateway</h1>"),
    "503": Fault(status=503, headers={"Retry-After": "0"}),
    "504": Fault(status=504),
    "520": Fault(status=520),
}
OF_EVERY_LIST = (
    "dropped",
    "cut off",
    "half a body",
    "not UTF-8",
    "no data",
    "null",
    "null in the middle",
    "null in the middle of v1",
    "500",
)


# Problems that pass.


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *((PERSONS, kind) for kind in PASSING if not kind.endswith("of v1")),
        *((NOTES, kind) for kind in OF_EVERY_LIST if kind != "null in the middle"),
        *((PAGES, kind) for kind in OF_EVERY_LIST if "null in" not in kind),
    ],
)
def test_a_passing_problem_costs_a_retry_and_no_row(
    *,
    kind: str,
    path: str,
    sync_only: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
) -> None:
    stream = STREAM_OF[path]
    server = server_of(path, pipedrive, pendo)
    server.fault = at(path, PASSING[kind], times=1)
    run = sync_only(stream, request_timeout=1)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company, [stream])
    assert len([r for r in server.requests if r.path == path]) == 2


@pytest.mark.parametrize("path", [PERSONS, NOTES, PAGES])
def test_rows_that_are_null_are_left_out(
    path: str,
    sync_some: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
) -> None:
    server_of(path, pipedrive, pendo).fault = at(path, Fault(mutate=with_null_rows))
    run = sync_some()
    assert run.exit_code == 0
    assert_others_complete(run, company)


def test_a_problem_in_the_middle_of_a_list(
    sync_some: Sync, company: Company, pipedrive: PipedriveServer, small_pages: int
) -> None:
    def fail(request: Request) -> Fault | None:
        return Fault(drop=True) if request.number % 5 == 0 else None

    pipedrive.fault = fail
    run = sync_some()
    assert (run.exit_code, run.error) == (0, "")
    assert_others_complete(run, company)
    assert len([r for r in pipedrive.requests if r.status == 0]) > 8


# Problems that stay.


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (PERSONS, "dropped"),
        (PERSONS, "success false"),
        (PERSONS, "500"),
        (NOTES, "half a body"),
        (PAGES, "no data"),
    ],
)
def test_a_lasting_problem_fails_its_stream_after_max_retries(
    *,
    kind: str,
    path: str,
    sync_some: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = STREAM_OF[path]
    server = server_of(path, pipedrive, pendo)
    server.fault = at(path, PASSING[kind])
    run = sync_some(max_retries=3)
    assert run.exit_code == 1
    assert stream in run.error
    assert run.records(stream) == []
    assert len([r for r in server.requests if r.path == path]) == 3
    assert any(stream in line and path in line for line in messages(caplog).splitlines())
    assert_others_complete(run, company, stream)


@pytest.mark.parametrize("path", [PERSONS, NOTES, PAGES], ids=["v2", "v1", "pendo"])
def test_rows_that_are_no_objects_fail_their_stream(
    *,
    path: str,
    sync_some: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = [1, "two"] if path == PAGES else {"success": True, "data": [1, "two"]}
    server_of(path, pipedrive, pendo).fault = at(path, Fault(status=200, body=body))
    run = sync_some(max_retries=2)
    assert run.exit_code == 1
    assert STREAM_OF[path] in run.error
    assert path in messages(caplog)
    assert_others_complete(run, company, STREAM_OF[path])


@pytest.mark.parametrize("tries", [0, 1, 2])
def test_max_retries_is_the_number_of_tries(
    tries: int, sync_only: Sync, pipedrive: PipedriveServer
) -> None:
    pipedrive.fault = at(PERSONS, Fault(status=500))
    run = sync_only("pipedrive_persons", max_retries=tries)
    assert run.exit_code == 1
    assert len([r for r in pipedrive.requests if r.path == PERSONS]) == max(1, tries)


def test_a_failing_stream_keeps_its_bookmark_and_the_next_run_continues(
    sync_some: Sync, company: Company, pipedrive: PipedriveServer, small_pages: int
) -> None:
    first = sync_some()
    tables = Tables().load(first.messages)
    for key in list(company.tables["persons"])[:70]:
        company.edit("persons", key, name="Edited")
    # The second page fails for good.
    pipedrive.fault = lambda r: (
        Fault(status=500) if r.path == PERSONS and "cursor" in r.params else None
    )
    second = sync_some(state=first.state, max_retries=1)
    assert second.exit_code == 1
    assert second.records("pipedrive_persons")
    tables.load(second.messages)
    pipedrive.reset()
    third = sync_some(state=second.state)
    assert third.exit_code == 0
    expected.check(tables.load(third.messages), company, SOME)


def test_a_failing_stream_without_rows_keeps_its_state(
    sync_some: Sync, company: Company, pipedrive: PipedriveServer, pendo: PendoServer
) -> None:
    first = sync_some()
    pipedrive.fault = at(PERSONS, Fault(status=500))
    pendo.fault = at(PAGES, Fault(status=500))
    second = sync_some(state=first.state, max_retries=1)
    for stream in ("pipedrive_persons", "pendo_pages"):
        assert second.bookmark(stream) == first.bookmark(stream) is not None


@pytest.mark.parametrize("failed", ["/api/v2/deals", "/api/v2/deals/archived"])
def test_one_of_two_lists_fails(
    failed: str, sync_some: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    pipedrive.fault = at(failed, Fault(status=500))
    first = sync_some(max_retries=1)
    assert first.exit_code == 1
    assert "pipedrive_deals" in first.error
    assert_others_complete(first, company, "pipedrive_deals", "pipedrive_deal_products")
    pipedrive.reset()
    second = sync_some(state=first.state)
    assert second.exit_code == 0
    expected.check(Tables().load(first.messages).load(second.messages), company, SOME)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_children_that_fail_hold_the_bookmark_of_their_parents(
    after: int, sync_some: Sync, company: Company, pipedrive: PipedriveServer, small_pages: int
) -> None:
    answered = 0

    def fail(request: Request) -> Fault | None:
        nonlocal answered
        if request.path != LINE_ITEMS:
            return None
        answered += 1
        return Fault(status=500) if answered > after else None

    pipedrive.fault = fail
    first = sync_some(max_retries=1)
    assert first.exit_code == 1
    assert "pipedrive_deal_products" in first.error
    assert_others_complete(first, company, "pipedrive_deal_products")
    pipedrive.reset()
    second = sync_some(state=first.state)
    assert second.exit_code == 0
    expected.check(Tables().load(first.messages).load(second.messages), company, SOME)


# Refusals.


@pytest.mark.parametrize("status", [402, 403])
@pytest.mark.parametrize("path", [PERSONS, NOTES, PRODUCTS, LINE_ITEMS])
def test_forbidden_stream_is_skipped(
    *,
    path: str,
    status: int,
    sync_some: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = STREAM_OF[path]
    pipedrive.fault = at(path, Fault(status=status))
    run = sync_some()
    assert (run.exit_code, run.error) == (0, "")
    assert run.records(stream) == []
    assert_others_complete(run, company, stream)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(stream in text and str(status) in text for text in warnings)
    # Said again where a reader of the log looks first.
    assert any(stream in r.getMessage() for r in caplog.records[-2:])
    limit = 6 if path == LINE_ITEMS else 1
    assert len([r for r in pipedrive.requests if r.path == path]) <= limit


def test_forbidden_stream_can_be_made_a_failure(
    sync_some: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    pipedrive.fault = at(NOTES, Fault(status=403))
    run = sync_some(fail_on_forbidden=True)
    assert run.exit_code == 1
    assert "pipedrive_notes" in run.error
    assert_others_complete(run, company, "pipedrive_notes")


@pytest.mark.parametrize("status", [404, 410, 415])
def test_absent_add_on_is_skipped(
    status: int, sync_some: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    pipedrive.fault = at(PRODUCTS, Fault(status=status))
    run = sync_some()
    assert run.exit_code == 0
    assert_others_complete(run, company, "pipedrive_products")


@pytest.mark.parametrize("status", [400, 404, 405, 410, 415])
def test_refused_core_list_is_a_failure(
    status: int, sync_some: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    pipedrive.fault = at(PERSONS, Fault(status=status))
    run = sync_some()
    assert run.exit_code == 1
    assert "pipedrive_persons" in run.error
    assert len([r for r in pipedrive.requests if r.path == PERSONS]) == 1
    assert_others_complete(run, company, "pipedrive_persons")


def test_firewall_page_fails_the_service(
    sync_some: Sync, company: Company, pipedrive: PipedriveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """403 with a web page is a block, not a missing permission."""

    def block(request: Request) -> Fault | None:
        return (
            Fault(status=403, body="<title>Access denied</title>") if request.number > 6 else None
        )

    pipedrive.fault = block
    run = sync_some()
    assert run.exit_code == 1
    assert "max_concurrency" in messages(caplog)
    expected.check(Tables().load(run.messages), company, set(SOME) & set(PENDO))
    # Asking on would prolong the block.
    assert len([r for r in pipedrive.requests if r.status == 403]) <= 6


@pytest.mark.parametrize("path", [PERSONS, PAGES])
def test_redirect_is_not_followed(
    *,
    path: str,
    sync_some: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with PendoServer(company) as elsewhere:
        fault = Fault(redirect=elsewhere.url + "/login")
        server_of(path, pipedrive, pendo).fault = at(path, fault)
        run = sync_some()
        assert elsewhere.requests == []
    assert run.exit_code == 1
    assert "redirect" in messages(caplog)
    assert run.records(STREAM_OF[path]) == []


# Lists that do not end.


@pytest.mark.parametrize("period", [1, 2])
def test_repeated_cursor_is_an_error(
    period: int, sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    row = company.get("persons", 1)

    def again(request: Request) -> Fault | None:
        if request.path != PERSONS:
            return None
        # After many turns it ends, so that only a tap that notices fails.
        turning = request.number < 40
        extra = {"next_cursor": f"cursor-{request.number % period}" if turning else None}
        return Fault(status=200, body={"success": True, "data": [row], "additional_data": extra})

    pipedrive.fault = again
    run = sync_only("pipedrive_persons")
    assert run.exit_code == 1
    assert "pipedrive_persons" in run.error
    assert len(pipedrive.requests) < 20


@pytest.mark.parametrize("path", [NOTES, "/v1/roles"])
def test_repeated_offset_page_is_an_error(
    path: str, sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    table = path.rsplit("/", 1)[1]
    rows = [company.get(table, key) for key in list(company.tables[table])[:5]]
    block = {"start": 0, "limit": 500, "next_start": 500}

    def again(request: Request) -> Fault | None:
        if request.path != path:
            return None
        extra = {"pagination": block | {"more_items_in_collection": request.number < 40}}
        return Fault(status=200, body={"success": True, "data": rows, "additional_data": extra})

    pipedrive.fault = again
    run = sync_only(STREAM_OF[path])
    assert run.exit_code == 1
    assert STREAM_OF[path] in run.error
    assert len(pipedrive.requests) < 20


# Rate limits and the daily budget.


def test_limited_request_waits_as_the_header_says(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer, pauses: list[float]
) -> None:
    fault = Fault(status=429, headers={"x-ratelimit-reset": "2", "x-ratelimit-remaining": "0"})
    pipedrive.fault = at(PERSONS, fault, times=2)
    run = sync_only("pipedrive_persons")
    assert run.exit_code == 0
    assert pauses == [2.0, 2.0]
    expected.check(Tables().load(run.messages), company, ["pipedrive_persons"])


def test_limited_pendo_request_waits_as_the_header_says(
    sync_only: Sync, company: Company, pendo: PendoServer, pauses: list[float]
) -> None:
    pendo.fault = at(PAGES, Fault(status=429, headers={"Retry-After": "7"}), times=1)
    run = sync_only("pendo_pages")
    assert run.exit_code == 0
    assert pauses == [7.0]
    expected.check(Tables().load(run.messages), company, ["pendo_pages"])


def test_a_pause_holds_back_the_whole_service(
    sync_some: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    fault = Fault(status=429, headers={"x-ratelimit-reset": "1"})
    pipedrive.fault = at("/v1/currencies", fault, times=1)
    run = sync_some(max_concurrency=1)
    assert run.exit_code == 0
    refused = next(r for r in pipedrive.requests if r.status == 429)
    later = [r.time for r in pipedrive.requests if r.number > refused.number]
    assert min(later) - refused.time >= 1.0


def test_burst_limit_is_learned_and_kept(
    monkeypatch: pytest.MonkeyPatch, company: Company, pendo_config: dict[str, Any]
) -> None:
    with PipedriveServer(company, burst=32, block_after=3) as server:
        config = {"pipedrive_api_token": server.token, "pipedrive_api_url": server.url}
        run = harness.run_tap(monkeypatch, pendo_config | config)
        assert {request.status for request in server.requests} == {200}
    assert run.exit_code == 0
    expected.check(Tables().load(run.messages), company)


@pytest.fixture
def limited(company: Company) -> Any:
    """A Pipedrive with a small daily budget, about half of a full sync."""
    with PipedriveServer(company, daily_tokens=240) as server:
        yield server


def budget_run(
    monkeypatch: pytest.MonkeyPatch, server: PipedriveServer, config: dict[str, Any], **extra: Any
) -> Run:
    own = {"pipedrive_api_token": server.token, "pipedrive_api_url": server.url}
    state = extra.pop("state", None)
    return harness.run_tap(monkeypatch, config | own | extra, state=state)


def incomplete(run: Run, company: Company) -> set[str]:
    found = set()
    tables = Tables().load(run.messages)
    for stream in STREAMS:
        if expected.unhashed(stream, tables.rows[stream]) != expected.rows(company, stream):
            found.add(stream)
    return found


@pytest.mark.parametrize("headers", [True, False])
@pytest.mark.parametrize("reserve", [0, 50])
def test_empty_budget_stops_cleanly_and_the_next_day_continues(
    *,
    reserve: int,
    headers: bool,
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    limited: PipedriveServer,
    pendo_config: dict[str, Any],
    pauses: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited.daily_headers = headers
    first = budget_run(monkeypatch, limited, pendo_config, pipedrive_daily_budget_reserve=reserve)
    assert (first.exit_code, first.error) == (0, "")
    left = incomplete(first, company)
    assert left
    assert left < set(PIPEDRIVE)
    last = "\n".join(r.getMessage() for r in caplog.records[-3:])
    for stream in left:
        assert stream in last, stream
    assert first.messages[-1]["type"] == "STATE"
    if headers:
        # What was on its way when the limit was reached may still be charged.
        assert limited.daily_used >= 240 * reserve / 100
        assert limited.daily_used <= 240 * (100 - reserve) / 100 + 6 * 40
    limited.new_day()
    limited.daily_tokens = 10_000
    second = budget_run(monkeypatch, limited, pendo_config, state=first.state)
    assert second.exit_code == 0
    expected.check(Tables().load(first.messages).load(second.messages), company)


def test_reserve_is_left_for_others(
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    limited: PipedriveServer,
    pendo_config: dict[str, Any],
) -> None:
    run = budget_run(
        monkeypatch,
        limited,
        pendo_config,
        pipedrive_daily_budget_reserve=50,
        max_concurrency=1,
    )
    assert run.exit_code == 0
    # One more request than the reserve allows, at 40 tokens the dearest.
    assert 120 < limited.daily_used <= 120 + 40


def test_a_day_that_ends_in_discovery_stops_cleanly(
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    limited: PipedriveServer,
    pendo_config: dict[str, Any],
    pauses: list[float],
) -> None:
    limited.daily_used = 240
    run = budget_run(monkeypatch, limited, pendo_config)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company, PENDO)
    assert len(limited.requests) <= 12


def test_many_windows_of_429_without_headers_mean_an_empty_day(
    sync: Sync, company: Company, pipedrive: PipedriveServer, pauses: list[float]
) -> None:
    pipedrive.fault = lambda r: Fault(status=429) if r.number > 10 else None
    run = sync(max_concurrency=1)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company, PENDO)
    assert 3 <= len([r for r in pipedrive.requests if r.status == 429]) <= 8


def test_few_windows_of_429_are_waited_for(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer, pauses: list[float]
) -> None:
    pipedrive.fault = at(PERSONS, Fault(status=429), times=2)
    run = sync_only("pipedrive_persons")
    assert run.exit_code == 0
    assert len(pauses) == 2
    expected.check(Tables().load(run.messages), company, ["pipedrive_persons"])


# Signals.


@contextlib.contextmanager
def program(
    tmp_path: Path, config: dict[str, Any], env: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The tap as a program, with a pipe for its output and a file for its log."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            command("--config", str(file)),
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **(env or {})},
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_writes_the_final_state(
    *,
    number: signal.Signals,
    code: int,
    tmp_path: Path,
    sync: Sync,
    config: dict[str, Any],
    company: Company,
    pipedrive: PipedriveServer,
) -> None:
    pipedrive.latency = 0.15
    with program(tmp_path, config | {"max_concurrency": 1}) as (process, output):
        lines, signalled = [], False
        for line in output:
            lines.append(line)
            if b"pipedrive_currencies" in line and not signalled:
                process.send_signal(number)
                signalled = True
        assert process.wait(timeout=10) == code
    assert "Traceback" not in (tmp_path / "log").read_text()
    first = Run(messages=parse(lines))
    assert first.messages[-1]["type"] == "STATE"
    assert first.state["bookmarks"]
    assert not set(STREAMS) <= set(first.streams)
    pipedrive.latency = 0
    second = sync(state=first.state)
    expected.check(Tables().load(first.messages).load(second.messages), company)


def test_signal_while_a_server_does_not_answer(
    tmp_path: Path, config: dict[str, Any], pendo: PendoServer
) -> None:
    # The catalog is built before anything is written.
    pendo.fault = lambda r: None if "/metadata/schema/" in r.path else Fault(delay=20)
    with program(tmp_path, config) as (process, output):
        first = output.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        messages = parse([first, *output])
        assert process.wait(timeout=5) == 143
    assert messages[-1]["type"] == "STATE"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_signal_while_nobody_reads_the_output(
    unbuffered: str, tmp_path: Path, config: dict[str, Any], company: Company, sync: Sync
) -> None:
    """A slow target: the tap waits in the middle of a write when the signal comes."""
    env = {"PYTHONUNBUFFERED": unbuffered}
    with program(tmp_path, config, env) as (process, output):
        first = output.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        messages = parse([first, *output])
        assert process.wait(timeout=5) == 143
    assert messages[-1]["type"] == "STATE"
    second = sync(state=messages[-1]["value"])
    expected.check(Tables().load(messages).load(second.messages), company)


def test_summary_of_each_stream_is_in_the_log(sync: Sync, caplog: pytest.LogCaptureFixture) -> None:
    sync()
    for stream in STREAMS:
        assert f"{stream}: complete" in log_text(caplog)
