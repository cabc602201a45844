"""Everything goes wrong at once, and a full sync ends with the same tables all the same."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.streams.pipedrive import pages
from tests import harness
from tests.harness import Run, Tables
from tests.integration import expected
from tests.sandbox import Company, Fault, OAuthApp, PendoServer, PipedriveServer

if TYPE_CHECKING:
    from tests.sandbox.server import Request

SHARE = 0.2
MORE = {"success": True, "data": None, "additional_data": {"next_cursor": "abc"}}
MORE_V1 = {
    "success": True,
    "data": None,
    "additional_data": {"pagination": {"more_items_in_collection": True, "next_start": 500}},
}


def halve(body: bytes) -> bytes:
    return body[: len(body) // 2]


#: Each with an answer that every list may get.
FAULTS = {
    "drop": Fault(drop=True),
    "cut off": Fault(truncate=60),
    "half a body": Fault(mutate=halve),
    "garbage": Fault(garbage=True),
    "empty": Fault(status=200, body=b""),
    "null": Fault(status=200, body=b"null"),
    "slow": Fault(delay=0.03),
    "408": Fault(status=408),
    "500": Fault(status=500),
    "502": Fault(status=502, body="<h1>Bad gateway</h1>"),
    "503": Fault(status=503, headers={"Retry-After": "0"}),
    "504": Fault(status=504),
    "520": Fault(status=520),
}
LIMITS = {
    # A day's budget that is not empty: only the window is closed.
    "429": Fault(
        status=429,
        headers={
            "x-ratelimit-reset": "1",
            "x-ratelimit-remaining": "0",
            "x-daily-ratelimit-token-remaining": "5000",
        },
    ),
    "429 with Retry-After": Fault(status=429, headers={"Retry-After": "1"}),
}
OF_PIPEDRIVE = {
    "success false": Fault(status=200, body={"success": False, "error": "sorry", "data": None}),
    "no data": Fault(status=200, body={"success": True}),
    "data null in the middle": Fault(status=200, body=MORE),
    "data null in the middle of v1": Fault(status=200, body=MORE_V1),
}
REJECTED = {"401": Fault(status=401, body={"success": False, "error": "unauthorized"})}


class Storm:
    """Shows faults at random, but the same ones in every run, whichever thread comes first."""

    def __init__(self, seed: int, faults: dict[str, Fault]) -> None:
        self.seed = seed
        self.faults = faults
        self.shown: Counter[str] = Counter()
        self.asked = 0
        self._tries: Counter[Any] = Counter()
        self._rejected: set[Any] = set()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Fault | None:
        if request.path == "/oauth/token":
            return None
        what = (request.path, *sorted(request.query), request.body)
        with self._lock:
            self.asked += 1
            self._tries[what] += 1
            source = random.Random(f"{self.seed} {what} {self._tries[what]}")
            if source.random() >= SHARE:
                return None
            name = source.choice(sorted(self.faults))
            if name in REJECTED:
                if what in self._rejected:
                    return None  # A token that was just issued is not rejected.
                self._rejected.add(what)
            self.shown[name] += 1
            return self.faults[name]


def run_tap(monkeypatch: pytest.MonkeyPatch, pipedrive: PipedriveServer, pendo: PendoServer) -> Run:
    config: dict[str, Any] = {
        "pipedrive_api_url": pipedrive.url,
        "pendo_api_url": pendo.url,
        "pendo_integration_key": pendo.key,
        "max_retries": 20,
    }
    if pipedrive.oauth is None:
        config["pipedrive_api_token"] = pipedrive.token
    else:
        config |= {
            "pipedrive_client_id": pipedrive.oauth.client_id,
            "pipedrive_client_secret": pipedrive.oauth.client_secret,
            "pipedrive_refresh_token": pipedrive.oauth.refresh_token,
            "pipedrive_oauth_url": pipedrive.url,
        }
    return harness.run_tap(monkeypatch, config)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_faults_changes_no_table(
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    small_pages: int,
    pauses: list[float],
) -> None:
    monkeypatch.setattr(pages, "LARGEST_PAGE", 10)
    app = OAuthApp(rotate=True)
    with (
        PipedriveServer(company, token=None, oauth=app) as pipedrive,
        PendoServer(company) as pendo,
    ):
        sales = Storm(seed, FAULTS | LIMITS | OF_PIPEDRIVE | REJECTED)
        product = Storm(seed, FAULTS | LIMITS)
        pipedrive.fault, pendo.fault = sales, product
        run = run_tap(monkeypatch, pipedrive, pendo)
        assert [*pipedrive.errors, *pendo.errors] == []
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company)
    # It was a storm.
    assert sales.asked > 100
    assert sales.shown.total() / sales.asked > SHARE / 2
    assert len(sales.shown) > len(sales.faults) / 3
    # One token to start with; requests that were rejected together share the next one.
    assert (len(app.access_tokens) > 1) is (sales.shown["401"] > 0)
    limited = sum(storm.shown[name] for storm in (sales, product) for name in LIMITS)
    assert len(pauses) == limited


@pytest.mark.usefixtures("clock")
def test_a_storm_under_a_burst_limit_runs_into_no_429(
    monkeypatch: pytest.MonkeyPatch, company: Company, pendo: PendoServer, small_pages: int
) -> None:
    storm = Storm(4, FAULTS | OF_PIPEDRIVE)
    with PipedriveServer(company, burst=30) as pipedrive:
        pipedrive.fault = storm
        run = run_tap(monkeypatch, pipedrive, pendo)
        statuses = Counter(request.status for request in pipedrive.requests)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company)
    assert statuses.total() > 80
    assert statuses[429] < statuses.total() / 100
    assert statuses[403] == 0
