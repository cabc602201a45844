"""Pendo's rows as records: column names, times, and keys for rows that have no id.

The rows of an answer share a few layouts: the same attributes in the same order. What depends on
the attributes alone is worked out once for each layout, not for each row.
"""

from __future__ import annotations

import functools
import hashlib
import operator
import re
import types
import typing as t

import msgspec

from tap_pendo_pipedrive.core import timestamps

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Record = dict[str, t.Any]
    #: The names of a row's attributes, in order.
    Layout = tuple[str, ...]

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


@functools.lru_cache(maxsize=1 << 10)
def snake_case(name: str) -> str:
    """Write an attribute's name as a column: ``lastUpdatedAt`` becomes ``last_updated_at``."""
    return _WORD_START.sub("_", name).lower()


def is_epoch_ms(column: str) -> bool:
    """Whether a top-level column is a time in epoch milliseconds."""
    return column.endswith("_at") or column in EPOCH_MS


#: Times that repeat from row to row, so that their texts are kept.
BUCKETS: t.Final = frozenset({"day", "hour", "week", "month", "quarter"})
_bucket: t.Final = functools.lru_cache(maxsize=1 << 10)(timestamps.from_epoch_ms)

#: Layouts to remember.
LAYOUTS: t.Final = 1 << 10


@functools.lru_cache(maxsize=LAYOUTS)
def _shaper(layout: Layout) -> Callable[[Record], Record]:
    """Build the function that shapes the rows of a layout."""
    columns = [snake_case(name) for name in layout]
    times = [
        (column, _bucket if column in BUCKETS else timestamps.from_epoch_ms)
        for column in columns
        if is_epoch_ms(column)
    ]

    def shape(row: Record) -> Record:
        record = dict(zip(columns, row.values()))  # noqa: B905 - a layout has as many of each
        for column, write in times:
            value = record[column]
            if value.__class__ is int or value.__class__ is float:
                record[column] = write(value)
        return record

    return shape


def shape_row(row: Record) -> Record:
    """Rename a row's attributes to columns and write its times as RFC 3339."""
    return _shaper(tuple(row))(row)


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
#: What an attribute that nobody documents holds if it is no dimension.
_UNCOUNTED: t.Final = frozenset({int, float, types.NoneType})
_ENCODE: t.Final = msgspec.json.Encoder(order="sorted").encode


def hash_of(values: Record | msgspec.Struct) -> str:
    """Hash values with their names, in any order, to 32 hexadecimal digits."""
    return hashlib.blake2b(_ENCODE(values), digest_size=16).hexdigest()


class KeyMaker:
    """Makes the key of a row that has no id: a hash over its dimensions.

    Attributes without a value count as absent, since the API leaves out most of them. Numbers
    have one form: 1.0 and 1 are the same.

    Args:
        measures: Attributes that are no part of the key.
        known: Attributes that are part of it even if they are numbers; more than one.
    """

    def __init__(self, measures: Iterable[str], known: Iterable[str]) -> None:
        self._documented = frozenset(measures).union(known)
        self._known = sorted(self._documented.difference(measures))
        # Encoded as an object, without those that are null.
        self._dimensions = msgspec.defstruct(
            "Dimensions", [(name, t.Any, None) for name in self._known], omit_defaults=True
        )
        self._keyer = functools.lru_cache(LAYOUTS)(self._compile)

    def _compile(self, layout: Layout) -> Callable[[Record], str]:
        """Build the function that makes the keys of a layout's rows."""
        dimensions = self._dimensions
        places = {name: place for place, name in enumerate(layout)}
        # What the layout lacks is picked from behind a row's values: null.
        pick = operator.itemgetter(*(places.get(name, -1) for name in self._known))
        numbers = [place for name, place in places.items() if name in _NUMBERS]
        unknown = [name for name in layout if name not in self._documented]

        def key(row: Record) -> str:
            values = [*row.values(), None]
            for place in numbers:
                value = values[place]
                if value.__class__ is float and value.is_integer():
                    values[place] = int(value)
            found = dimensions(*pick(values))
            if not unknown:
                return hash_of(found)
            more = {name: row[name] for name in unknown if row[name].__class__ not in _UNCOUNTED}
            return hash_of({**msgspec.to_builtins(found), **more})

        return key

    def key(self, row: Record) -> str:
        """Return 32 hexadecimal digits."""
        return self._keyer(tuple(row))(row)

    def shaper(self, column: str) -> Callable[[Record], Record]:
        """Build the function that shapes a row and puts its key into a column."""

        def shape(row: Record) -> Record:
            layout = tuple(row)
            record = _shaper(layout)(row)
            record[column] = self._keyer(layout)(row)
            return record

        return shape
