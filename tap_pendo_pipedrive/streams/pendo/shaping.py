"""Pendo's rows as records: column names, times, and keys for rows that have no id."""

from __future__ import annotations

import functools
import hashlib
import re
import typing as t

import msgspec

from tap_pendo_pipedrive.core import timestamps

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Record = dict[str, t.Any]

_WORD_START: t.Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

#: Top-level columns in epoch milliseconds whose names do not end in "_at".
EPOCH_MS: t.Final = frozenset(
    {
        "day",
        "hour",
        "week",
        "month",
        "quarter",
        "first_time",
        "last_time",
        "browser_time",
        "received_time",
        "guide_timestamp",
        "time",
        "ts",
        "last_ts",
        "valid_through",
        "daily_merge_first",
        "daily_rollup_first",
        "shows_after",
        "expires_after",
        "last_key_frame_timestamp",
        "last_start_time",
    }
)

#: What a grouped row measures. It changes when late events arrive, so it is no part of the key.
MEASURES: t.Final = frozenset(
    {
        "numEvents",
        "numMinutes",
        "errorClickCount",
        "rageClickCount",
        "deadClickCount",
        "uTurnCount",
        "firstTime",
        "lastTime",
        "lastKeyFrameTimestamp",
    }
)


#: What Pendo documents besides, or others have seen: part of the key, also if it is a number.
DIMENSIONS: t.Final = frozenset(
    {
        "accountId",
        "analyticsSessionId",
        "appId",
        "country",
        "day",
        "featureId",
        "hour",
        "latitude",
        "longitude",
        "month",
        "pageId",
        "parameters",
        "properties",
        "quarter",
        "recordingId",
        "recordingSessionId",
        "region",
        "remoteIp",
        "server",
        "signatureAgent",
        "tabId",
        "trackTypeId",
        "userAgent",
        "visitorId",
        "week",
    }
)


def snake_case(name: str) -> str:
    """Write an attribute's name as a column: ``lastUpdatedAt`` becomes ``last_updated_at``."""
    return _WORD_START.sub("_", name).lower()


def is_epoch_ms(column: str) -> bool:
    """Whether a top-level column is a time in epoch milliseconds."""
    return column.endswith("_at") or column in EPOCH_MS


class _Columns(dict[str, tuple[str, bool]]):
    """The column of each attribute, and whether it is a time; learned as attributes are seen."""

    def __missing__(self, name: str) -> tuple[str, bool]:
        column = snake_case(name)
        self[name] = found = (column, is_epoch_ms(column))
        return found


_COLUMNS: t.Final = _Columns()

#: Hours, days and so on repeat from row to row.
_moment = functools.lru_cache(maxsize=1 << 14)(timestamps.from_epoch_ms)


def shape_row(row: Record) -> Record:
    """Rename a row's attributes to columns and write its times as RFC 3339."""
    record = {}
    for name, value in row.items():
        column, is_time = _COLUMNS[name]
        if is_time and (value.__class__ is int or value.__class__ is float):
            value = _moment(value)  # noqa: PLW2901 - the same value in another form
        record[column] = value
    return record


#: Dimensions that are numbers, which may be written with a point or without.
_NUMBERS: t.Final = frozenset(
    {
        "appId",
        "browserTime",
        "day",
        "guideTimestamp",
        "hour",
        "latitude",
        "longitude",
        "month",
        "pollResponse",
        "quarter",
        "ts",
        "week",
    }
)
_ENCODE: t.Final = msgspec.json.Encoder(order="sorted").encode


def hash_of(values: Record) -> str:
    """Hash values with their names, in any order, to 32 hexadecimal digits."""
    return hashlib.blake2b(_ENCODE(values), digest_size=16).hexdigest()


class KeyMaker:
    """Makes the key of a row that has no id: a hash over its dimensions.

    Attributes without a value count as absent, since the API leaves out most of them. Numbers
    have one form: 1.0 and 1 are the same.

    Args:
        measures: Attributes that are no part of the key.
        known: Attributes that are part of it even if they are numbers.
    """

    def __init__(self, measures: Iterable[str], known: Iterable[str]) -> None:
        self._measures = tuple(measures)
        self._known = frozenset(known)
        self._documented = self._known.union(self._measures)

    def key(self, row: Record) -> str:
        """Return 32 hexadecimal digits."""
        dimensions = row.copy()
        for name in self._measures:
            dimensions.pop(name, None)
        if None in row.values() or not row.keys() <= self._documented:
            for name, value in row.items():
                number = value.__class__ is int or value.__class__ is float
                if value is None or (number and name not in self._known):
                    dimensions.pop(name, None)
        for name in _NUMBERS:
            value = dimensions.get(name)
            if value.__class__ is float and value.is_integer():
                dimensions[name] = int(value)
        return hash_of(dimensions)

    def adder(self) -> Callable[[Record], Record]:
        """Build the function that shapes a row and adds its key."""

        def add(row: Record) -> Record:
            record = shape_row(row)
            record["event_key"] = self.key(row)
            return record

        return add
