"""The comparison that the other tests rest on: it must see every kind of difference."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.end_to_end.expected import Rows, differences

WANTED: Rows = {
    1: {"id": 1, "flag": True, "value": 1.1, "update_time": "2026-01-31T10:00:00Z", "n_count": 1},
    2: {"id": 2, "flag": None, "value": 2, "update_time": None, "n_count": 0},
}


def seen(loaded: list[dict[str, Any]], *moments: Rows) -> list[str]:
    return differences("pipedrive_deals", loaded, moments or [WANTED])


@pytest.mark.parametrize(
    "change",
    [
        {"flag": 1},
        {"flag": None},
        {"value": 1.10001},
        {"value": "1.1"},
        {"update_time": "2026-01-31T10:00:00.001Z"},
        {"more": None},
        {"n_count": 2},
        {"id": 3},
        {"id": 2},
    ],
)
def test_a_changed_row_is_seen(change: dict[str, Any]) -> None:
    rows = list(copy.deepcopy(WANTED).values())
    assert seen(rows) == []
    rows[0] |= change
    assert seen(rows)


def test_a_missing_row_or_attribute_is_seen() -> None:
    assert seen([WANTED[1]]) == ["pipedrive_deals 2: missing"]
    assert seen([WANTED[1], {"id": 2}])


def test_what_time_allows() -> None:
    older: Rows = {
        1: {**WANTED[1], "n_count": 7},
        2: {**WANTED[2], "update_time": "2025-01-01T00:00:00Z"},
        3: {"id": 3, "flag": False},
    }
    # Rows that vanished stay, and counters may be as old as their row.
    assert seen([older[1], WANTED[2], older[3]], older, WANTED) == []
    # A row that changed must have come again.
    assert seen([WANTED[1], older[2]], older, WANTED)
    assert seen([WANTED[1], WANTED[2], {"id": 3, "flag": True}], older, WANTED)
