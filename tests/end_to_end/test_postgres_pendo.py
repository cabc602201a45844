"""Pendo's analytics in PostgreSQL: the tables hold what the sandbox has, late events too."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Company, PendoServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.conftest import Warehouse

#: Each stream, and the columns that the tap makes itself.
STREAMS = {
    "pendo_events": {"event_key"},
    "pendo_page_events": {"event_key"},
    "pendo_feature_events": {"event_key"},
    "pendo_track_events": {"event_key"},
    "pendo_guide_events": {"event_key"},
    "pendo_poll_events": {"event_key"},
    "pendo_guides_seen": set[str](),
    "pendo_polls_seen": set[str](),
    "pendo_accounts": {"last_updated_at"},
    "pendo_visitors": {"last_updated_at"},
    "pendo_account_metadata": set[str](),
    "pendo_visitor_metadata": set[str](),
    "pendo_track_types": set[str](),
    "pendo_segments": set[str](),
    "pendo_report_results": {"row_key"},
}
#: Texts in the database, since the API's values are of several types.
AS_TEXT = {"response", "poll_response"}
Row = dict[str, Any]


@pytest.fixture
def company() -> Company:
    """A company whose last weeks are the real ones: event streams look back from today."""
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    return Company(scale=0.02, now=now, usage_per_day=60)


@pytest.fixture
def pendo(company: Company) -> Iterator[PendoServer]:
    """A Pendo of that company, which refuses more than a few hours of its events at once."""
    with PendoServer(company) as server:
        server.limits.bucket_limit = 8
        yield server


def plain(value: Any, kind: str) -> Any:
    """Write a value in the one form that both sides are compared in."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.timezone.utc).timestamp()
    if kind.startswith("timestamp") and value is not None:
        return value / 1000 if value else None
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, default=float)
    return value


def column(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def assert_equal(warehouse: Warehouse, company: Company, until: dt.datetime) -> None:
    for stream, made in STREAMS.items():
        kinds = {name: kind for name, kind in warehouse.columns(stream).items() if name not in made}
        rows = (
            company.rows(stream, granularity="hour", until=until)
            if stream.endswith("_events")
            else company.rows(stream)
        )
        wanted = []
        for row in rows:
            values = {column(name): value for name, value in row.items()}
            wanted.append(normal(values, kinds, stream))
        held = [normal(row, kinds, stream) for row in warehouse.rows(stream)]
        if stream == "pendo_report_results":
            # Equal rows are one, and those of an earlier run stay.
            assert set(wanted) <= set(held), stream
        else:
            assert sorted(held) == sorted(wanted), stream
        assert held


def normal(row: Row, kinds: dict[str, str], stream: str) -> str:
    values = {name: plain(row.get(name), kind) for name, kind in kinds.items()}
    for name in AS_TEXT & values.keys():
        value = row.get(name)
        values[name] = None if value is None else str(value)
    if stream == "pendo_polls_seen":
        values["account_id"] = values["account_id"] or ""
    return json.dumps(values, sort_keys=True)


def test_analytics_then_late_events(
    company: Company, pendo: PendoServer, warehouse: Warehouse
) -> None:
    config = {
        "pendo_integration_key": pendo.key,
        "pendo_api_url": pendo.url,
        "pendo_include_anonymous_visitors": True,
    }
    hour = company.now.replace(minute=0, second=0, microsecond=0)
    state = warehouse.load(config, streams=STREAMS)
    assert_equal(warehouse, company, hour)
    refused = [request for request in pendo.requests if request.status == 504]
    assert refused, "the limit was never in force"

    company.add_events(60, days_back=4, spread=3)
    company.add_visitor("late@customer.example", [])
    warehouse.load(config, state, streams=STREAMS)
    assert_equal(warehouse, company, hour)
