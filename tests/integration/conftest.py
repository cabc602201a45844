"""Fixtures and small helpers of the integration tests."""

from __future__ import annotations

import datetime as dt
import json
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.core.governor import Governor
from tap_pendo_pipedrive.streams.pendo import details, events
from tap_pendo_pipedrive.streams.pendo.events import EventStream
from tap_pendo_pipedrive.streams.pipedrive import activities, children, pages, windows
from tap_pendo_pipedrive.streams.pipedrive.stream import OffsetStream
from tests import harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from tests.harness import Run
    from tests.sandbox import Company
    from tests.sandbox.server import SandboxServer

    Sync = Callable[..., Run]


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture(autouse=True)
def _leave_out_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a catalog that selects them, streams of events are not read.

    They cost a request for each day since the start; tests that are about them select them.
    """
    monkeypatch.setattr(EventStream, "selected_by_default", False)


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> Sync:
    """Run the tap against both sandboxes; keywords `state` and `catalog`, others are settings."""

    def run(
        *, state: dict[str, Any] | None = None, catalog: dict[str, Any] | None = None, **extra: Any
    ) -> Run:
        return harness.run_tap(monkeypatch, config | extra, state=state, catalog=catalog)

    return run


class Clock:
    """The tap's clock, which shows the company's time.

    Attributes:
        ahead: How far it is ahead of the company's.
    """

    def __init__(self, company: Company) -> None:
        self.company = company
        self.ahead = dt.timedelta()

    def now(self) -> dt.datetime:
        """The time that it shows."""
        return self.company.now + self.ahead

    def set(self, patch: pytest.MonkeyPatch) -> None:
        """Let Pendo's streams look at this clock."""
        clock = self

        class Moment(dt.datetime):
            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> Self:
                del tz
                return cls.fromtimestamp(clock.now().timestamp(), dt.timezone.utc)

        module = SimpleNamespace(datetime=Moment, timedelta=dt.timedelta, timezone=dt.timezone)
        for user in (events, details):
            patch.setattr(user, "dt", module)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, company: Company) -> Clock:
    """Set the tap's clock to the company's time."""
    clock = Clock(company)
    clock.set(monkeypatch)
    return clock


@pytest.fixture
def read(
    monkeypatch: pytest.MonkeyPatch,
    catalogs: dict[tuple[str, ...], dict[str, Any]],
    clock: Clock,
    pendo_config: dict[str, Any],
) -> Sync:
    """Run the tap against Pendo alone, at the company's time, with these streams only."""

    def run(*streams: str, state: dict[str, Any] | None = None, **extra: Any) -> Run:
        granularity = str(extra.get("pendo_event_granularity", "hour"))
        key = ("pendo", granularity)
        if key not in catalogs:
            catalogs[key] = harness.discover(pendo_config | extra)
        chosen = [e for e in catalogs[key]["streams"] if e["tap_stream_id"] in streams]
        catalog = harness.select(json.loads(json.dumps({"streams": chosen})), *streams)
        return harness.run_tap(monkeypatch, pendo_config | extra, state=state, catalog=catalog)

    return run


@pytest.fixture(scope="session")
def catalogs() -> dict[tuple[str, ...], dict[str, Any]]:
    """Catalogs by the streams in them; every test's company starts with the same fields."""
    return {}


@pytest.fixture
def sync_only(
    catalogs: dict[tuple[str, ...], dict[str, Any]], config: dict[str, Any], sync: Sync
) -> Sync:
    """Run the tap with a catalog of these streams and no others."""

    def run(*streams: str, state: dict[str, Any] | None = None, **extra: Any) -> Run:
        if streams not in catalogs:
            catalog = harness.discover(config)
            chosen = [entry for entry in catalog["streams"] if entry["tap_stream_id"] in streams]
            catalogs[streams] = harness.select({"streams": chosen}, *streams)
        return sync(state=state, catalog=catalogs[streams], **extra)

    return run


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make the tap ask for pages of a few rows, so that a small company has many of them.

    That many pages are read several at a time, as in a large company.
    """
    size = 20
    monkeypatch.setattr(pages, "LARGEST_PAGE", size)
    monkeypatch.setattr(windows, "LARGEST_PAGE", size)
    monkeypatch.setattr(pages, "PAGES_A_LANE", 1)
    monkeypatch.setattr(OffsetStream, "page_size", size)
    monkeypatch.setattr(activities.Files, "page_size", size)
    monkeypatch.setattr(children, "PARENTS_A_REQUEST", size)
    return size


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Keep pauses after a 429 in a list instead of waiting."""
    taken: list[float] = []
    monkeypatch.setattr(Governor, "pause", lambda _self, seconds: taken.append(seconds))
    return taken


@pytest.fixture
def servers(pipedrive: SandboxServer, pendo: SandboxServer) -> Iterator[list[SandboxServer]]:
    """Both sandboxes; a bug in one of them fails the test."""
    yield [pipedrive, pendo]
    assert [*pipedrive.errors, *pendo.errors] == []
