"""Pages of events, shaped column by column.

What costs most is Python code that runs for each value of each row. Here it runs for each column
of a page, over whose values compiled code goes. The records are the same as those that are shaped
row by row, which is what is left to do where rows do not fit the schema.
"""

from __future__ import annotations

import functools
import itertools
import typing as t

import msgspec

from tap_pendo_pipedrive.core.drift import row_type
from tap_pendo_pipedrive.core.stream import Batch
from tap_pendo_pipedrive.streams.pendo.shaping import (
    fields_named,
    is_epoch_ms,
    snake_case,
    write_time,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_pendo_pipedrive.core.messages import MessageWriter
    from tap_pendo_pipedrive.core.stream import Page, Record
    from tap_pendo_pipedrive.streams.pendo.shaping import KeyMaker

    Columns = dict[str, Sequence[t.Any]]

_NUMBER: t.Any = t.Union[int, float, None]  # noqa: UP007 - evaluated by msgspec on Python 3.10


class ColumnBatch(Batch):
    """Records that are given by their columns. Where a record lacks an attribute, that is UNSET.

    Args:
        page: The page that they are from.
        columns: Their values, by column.
    """

    is_final = True

    def __init__(self, page: Page, columns: Columns) -> None:
        self.fetched = page.fetched
        self.progress = page.progress
        self._columns = columns
        record = _record_type(tuple(columns))
        self._records = list(itertools.starmap(record, zip(*columns.values(), strict=True)))

    def __len__(self) -> int:
        """The number of records."""
        return len(self._records)

    @functools.cached_property
    def records(self) -> list[Record]:  # type: ignore[override]  # made if anyone needs them
        """The records as dictionaries."""
        return t.cast("list[Record]", msgspec.to_builtins(self._records))

    def write(self, writer: MessageWriter, stream: str, version: int | None) -> int:
        """Write the records, and return their number."""
        writer.write_records(stream, self._records, version=version, time_extracted=self.fetched)
        return len(self)

    def values(self, key: str) -> list[t.Any]:
        """The records' values of the replication key."""
        return [each or None for each in self._columns.get(key, ())]


@functools.lru_cache(maxsize=64)
def _record_type(columns: tuple[str, ...]) -> type[msgspec.Struct]:
    fields = [(name, t.Any) for name in fields_named(columns)]
    return msgspec.defstruct("Record", fields, rename=fields_named(columns), gc=False)


class ColumnReader:
    """Reads pages whose rows have only attributes and types that the schema tells of.

    Args:
        schema: The stream's schema.
        column: The primary key's column.
        keys: Makes its values.
    """

    def __init__(self, schema: Mapping[str, t.Any], column: str, keys: KeyMaker) -> None:
        self._properties: Mapping[str, t.Any] = schema["properties"]
        self._column = column
        self._keys = keys
        # How the API spells columns is not in the schema: the rows that came before tell.
        self._names: dict[str, str] = {}
        self._compile()

    def _compile(self) -> None:
        attributes = {
            self._names[column]: definition
            for column, definition in self._properties.items()
            if column in self._names
        }
        times = {name: _NUMBER for column, name in self._names.items() if is_epoch_ms(column)}
        row: t.Any = row_type({"properties": attributes}, types=times)
        self._decode = msgspec.json.Decoder(list[row | None]).decode
        self._attributes = tuple(attributes)

    def __call__(self, page: Page) -> ColumnBatch | None:
        """Read a page; None if some row does not fit."""
        if not isinstance(page.rows, msgspec.Raw):
            return None
        rows = self._rows(page.rows)
        if rows is None and self._learn(page):
            rows = self._rows(page.rows)
        if not rows:
            return None
        values = zip(*map(msgspec.structs.astuple, rows), strict=True)
        given: Columns = dict(zip(self._attributes, values, strict=True))
        keys = self._keys.keys(given)
        if not keys:
            return None
        columns: Columns = {}
        for column in self._properties:
            if column == self._column:
                columns[column] = keys
            elif column in self._names:
                found = given[self._names[column]]
                columns[column] = _times(column, found) if is_epoch_ms(column) else found
        return ColumnBatch(page, columns)

    def _rows(self, text: msgspec.Raw) -> list[msgspec.Struct] | None:
        try:
            return [row for row in self._decode(text) if row is not None]
        except msgspec.ValidationError:
            return None

    def _learn(self, page: Page) -> bool:
        """Look for attributes that the schema tells of and no row before had."""
        known = len(self._names)
        for name in dict.fromkeys(itertools.chain.from_iterable(page.decode())):
            if (column := snake_case(name)) in self._properties:
                self._names.setdefault(column, name)
        if len(self._names) == known:
            return False
        self._compile()
        return True


def _times(column: str, values: Sequence[t.Any]) -> Sequence[t.Any]:
    write = write_time(column)
    if set(map(type, values)) <= {int, float}:
        return [*map(write, values)]
    return [each if each is None or each is msgspec.UNSET else write(each) for each in values]
