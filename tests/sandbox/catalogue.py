"""Track types, segments and the results of reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.usage import APPS, DEFAULT_APP, NEVER
from tests.sandbox.vocabulary import Inventor, epoch_ms

if TYPE_CHECKING:
    from tests.sandbox.fields import Row

# Reports of other types answer with one of these.
REFUSALS = {"Path": 400, "Funnel": 422}


def _key(source: Inventor) -> str:
    return "".join(source.pick("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ-_") for _ in range(27))


def track_types(count: int, source: Inventor) -> dict[str, Row]:
    """Kinds of `pendo.track` calls."""
    rows: dict[str, Row] = {}
    for number in range(count):
        key = _key(source)
        created = source.moment(900)
        rows[key] = {
            "id": key,
            "appId": list(APPS)[number % len(APPS)],
            "kind": "TrackType",
            "name": source.sentence(),
            "trackTypeName": f"track_{number}",
            "trackTypeRules": [f"track_{number}", f"Track {number}"],
            "eventPropertyNameList": ["amount", "currency"] if number % 2 else None,
            "group": {"id": "_PENDO_DEFAULTGROUP_00_", "name": "Default", "length": 3},
            "color": "",
            "dirty": False,
            "isCoreEvent": number % 5 == 0,
            "rootVersionId": key,
            "stableVersionId": f"{key}-20240131235959.123456789",
            "createdAt": epoch_ms(created),
            "createdByUser": {"id": "-42", "username": "system", "first": "", "last": ""},
            "lastUpdatedAt": NEVER if number == 2 else epoch_ms(source.moment(since=created)),
            "lastUpdatedByUser": None,
        }
    return rows


def segments(count: int, source: Inventor) -> dict[str, Row]:
    """Named groups of visitors."""
    rows: dict[str, Row] = {}
    for number in range(count):
        key = _key(source)
        rows[key] = {
            "id": key,
            "kind": "Segment",
            "name": source.sentence(),
            "definition": {"filters": [{"kind": "account", "operator": "==", "value": number}]},
            "pipeline": [
                {"source": {"visitors": None}},
                {"filter": f'metadata.agent.role == "{number}"'},
            ],
            "shared": number % 2 == 0,
            "createdByApi": number % 7 == 0,
            "dependentMetadata": ["visitor.agent.role"] if number % 3 else [],
        }
    return rows


def report_results(
    report: Row, visitors: dict[str, Row], accounts: dict[str, Row], source: Inventor
) -> list[Row] | None:
    """Flat rows of a report of visitors or accounts; None for a report without exportable ones."""
    people = {"Visitor": visitors, "Account": accounts}.get(report["type"])
    if people is None:
        return None
    kind = report["type"].lower()
    keys = source.sample(list(people), min(len(people), source.below(40)))
    return [
        {
            f"{kind}Id": key,
            f"{kind}_agent_name": source.sentence(),
            f"{kind}_auto_lastvisit": epoch_ms(source.moment(90)),
            "numEvents": source.below(500),
            "Days Active": source.pick((None, source.below(30), f"{source.below(30)}.5")),
            "appId": DEFAULT_APP,
        }
        for key in keys
    ]
