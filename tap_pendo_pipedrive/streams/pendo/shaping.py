"""Pendo's rows as records: column names, times, and keys for rows that have no id.

The rows of an answer share a few layouts: the same attributes in the same order. What depends on
the attributes alone is worked out once for each layout, not for each row.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import types
import typing as t

import msgspec

from tap_pendo_pipedrive.core import timestamps

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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


def write_time(column: str) -> Callable[[float], str | None]:
    """What writes the epoch milliseconds of a column as RFC 3339."""
    return _bucket if column in BUCKETS else timestamps.from_epoch_ms


#: Layouts to remember.
LAYOUTS: t.Final = 1 << 10


@functools.lru_cache(maxsize=LAYOUTS)
def _shaper(layout: Layout) -> Callable[[Record], Record]:
    """Build the function that shapes the rows of a layout."""
    columns = [snake_case(name) for name in layout]
    times = [(column, write_time(column)) for column in columns if is_epoch_ms(column)]

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
_ENCODE: t.Final = msgspec.json.Encoder(order="deterministic").encode


def hash_of(values: Record | msgspec.Struct) -> str:
    """Hash values with their names to 32 hexadecimal digits.

    Args:
        values: In any order; the fields of a struct in that of their names.
    """
    return hashlib.blake2b(_ENCODE(values), digest_size=16).hexdigest()


def _one_form(values: Iterable[t.Any]) -> list[t.Any]:
    """Write whole numbers without a point."""
    return [int(each) if each.__class__ is float and each.is_integer() else each for each in values]


class KeyMaker:
    """Makes the key of a row that has no id: a hash over its dimensions.

    Attributes without a value count as absent, since the API leaves out most of them. Numbers
    have one form: 1.0 and 1 are the same.

    Args:
        measures: Attributes that are no part of the key.
        known: Attributes that are part of it even if they are numbers.
    """

    def __init__(self, measures: Iterable[str], known: Iterable[str]) -> None:
        self._known = frozenset(known).difference(measures)
        self._measures = frozenset(measures)

    def key(self, row: Record) -> str:
        """Return 32 hexadecimal digits."""
        columns = self._dimensions({name: (value,) for name, value in row.items()})
        return hash_of({name: each for name, (each,) in columns.items() if each is not None})

    def keys(self, columns: Mapping[str, Sequence[t.Any]]) -> list[str]:
        """Make the keys of many rows.

        Args:
            columns: The rows' values by attribute. What a row lacks is null or UNSET.

        Returns:
            A key for each row; none if no attribute is a dimension.
        """
        dimensions = self._dimensions(columns)
        row = _row_of(tuple(dimensions))
        return [*map(hash_of, itertools.starmap(row, zip(*dimensions.values(), strict=True)))]

    def _dimensions(self, columns: Mapping[str, Sequence[t.Any]]) -> dict[str, Sequence[t.Any]]:
        """Leave out what does not count, and give numbers their form."""
        found = {}
        for name in sorted(columns.keys() - self._measures):
            values = columns[name]
            if name not in self._known:
                values = [None if each.__class__ in _UNCOUNTED else each for each in values]
            elif name in _NUMBERS and float in set(map(type, values)):
                values = _one_form(values)
            found[name] = values
        return found

    def shaper(self, column: str, columns: Iterable[str]) -> Callable[[Record], Record]:
        """Build the function that shapes a row and adds its key.

        Args:
            column: The key's column.
            columns: All columns that are known, in the order in which records have them.
        """
        order = tuple(columns)

        def shape(row: Record) -> Record:
            record = shape_row(row)
            record[column] = self.key(row)
            return {name: record[name] for name in order if name in record} | record

        return shape


@functools.lru_cache(maxsize=LAYOUTS)
def _row_of(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """An object of these attributes, encoded without those that are null."""
    fields = [(field, t.Any, None) for field in fields_named(names)]
    return msgspec.defstruct(
        "Dimensions", fields, rename=fields_named(names), omit_defaults=True, gc=False
    )


def fields_named(names: Iterable[str]) -> dict[str, str]:
    """Name a struct's fields; what they are called in JSON need be no name of a variable."""
    return {f"a{place}": name for place, name in enumerate(names)}
