"""Tables in memory, with encoded rows and sorted views kept until an edit makes them stale."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.sandbox.fields import Row

Key = Any
Rank = tuple[int, Any]
Position = tuple[Rank, Key]
View = list[Position]

NOTHING: frozenset[str] = frozenset()


def rank(value: Any) -> Rank:
    """Sort key of a value: nulls come first in ascending order."""
    return (0, 0) if value is None else (1, value)


class Store:
    """Rows by table and key, safe to read and change from several threads under `lock`.

    A test that changes a row in place, not through the company's edit methods, calls `touch`.
    """

    def __init__(self) -> None:
        """Start without tables."""
        self.lock = threading.RLock()
        self.tables: dict[str, dict[Key, Row]] = {}
        self._bytes: dict[tuple[str, frozenset[str]], dict[Key, bytes]] = {}
        self._views: dict[tuple[str, str], View] = {}
        self._groups: dict[tuple[str, str], dict[str, list[Key]]] = {}
        self._order: dict[str, dict[Key, int]] = {}
        self._encoder = msgspec.json.Encoder()

    def encoded(self, table: str, key: Key, omit: frozenset[str] = NOTHING) -> bytes:
        """The row as JSON, without the omitted attributes."""
        cache = self._bytes.get((table, omit))
        if cache is None:
            cache = self._bytes[table, omit] = {}
        data = cache.get(key)
        if data is None:
            row = self.tables[table][key]
            if omit:
                row = {name: value for name, value in row.items() if name not in omit}
            data = cache[key] = self._encoder.encode(row)
        return data

    def view(self, table: str, attribute: str) -> View:
        """(rank, key) of every row in ascending order, ties by key.

        The attribute `order` stands for the order in which the rows were added.
        """
        view = self._views.get((table, attribute))
        if view is None:
            rows = self.tables[table]
            if attribute == "order":
                order = self._order.setdefault(table, {})
                for key in rows:
                    order.setdefault(key, len(order))
                view = sorted(((1, order[key]), key) for key in rows)
            else:
                view = sorted((rank(row.get(attribute)), key) for key, row in rows.items())
            self._views[table, attribute] = view
        return view

    def group(self, table: str, attribute: str, value: Any) -> list[Key]:
        """Keys of the rows whose attribute has this value, written in any way."""
        groups = self._groups.get((table, attribute))
        if groups is None:
            groups = self._groups[table, attribute] = {}
            for key, row in self.tables[table].items():
                groups.setdefault(str(row[attribute]), []).append(key)
        return groups.get(str(value), [])

    def touch(self, table: str, key: Key | None = None) -> None:
        """Forget what was derived from a row; without a key, from the whole table."""
        for (name, _), cache in self._bytes.items():
            if name == table:
                if key is None:
                    cache.clear()
                else:
                    cache.pop(key, None)
        for entry in [entry for entry in self._views if entry[0] == table]:
            del self._views[entry]
        for entry in [entry for entry in self._groups if entry[0] == table]:
            del self._groups[entry]

    def touch_bytes(self, table: str, key: Key) -> None:
        """Forget a row's encoding only: for changes that no sort order depends on."""
        for (name, _), cache in self._bytes.items():
            if name == table:
                cache.pop(key, None)
