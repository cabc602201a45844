"""Names of the columns of custom fields: readable, unique, short enough, in any order the same."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import re
import threading
import typing as t
import unicodedata

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger("tap-pendo-pipedrive.custom_fields")

#: PostgreSQL cuts off what is longer, without a word.
LONGEST_NAME: t.Final = 63
#: No column of the API's own begins like this.
PREFIX: t.Final = "cf_"
#: By how many characters of its code a column grows to differ from another field's.
CODE_STEP: t.Final = 6


def snake_case(name: str) -> str:
    """Write a name in lower case, with underscores for all but letters and digits.

    Letters of any script stay, without accents. May be empty.
    """
    apart = unicodedata.normalize("NFKD", name).lower()
    bare = "".join(char for char in apart if not unicodedata.category(char).startswith("M"))
    # What is not an accent belongs together again, such as the parts of a Korean syllable.
    joined = unicodedata.normalize("NFC", bare)
    return re.sub("_+", "_", "".join(c if c.isalnum() else "_" for c in joined)).strip("_")


def cut(name: str, size: int = LONGEST_NAME) -> str:
    """Cut a name to a number of bytes in UTF-8."""
    return name.encode()[:size].decode(errors="ignore").rstrip("_")


@dataclasses.dataclass(frozen=True)
class FieldName:
    """What the columns of a field are named after.

    Attributes:
        name: The field's name, or the one that the user gave it.
        suffixes: What its columns have behind it; empty for the first one.
        is_pinned: The user gave the name.
    """

    name: str
    suffixes: tuple[str, ...] = ("",)
    is_pinned: bool = False

    @functools.cached_property
    def plain(self) -> str:
        """The name in snake_case; a pinned one may have been given with its prefix."""
        plain = snake_case(self.name)
        return plain.removeprefix(PREFIX) if self.is_pinned else plain

    def stem(self, code: str) -> str:
        """What all of the field's columns begin with.

        Args:
            code: As much of the field's code as it takes to tell the field from others.
        """
        tail = f"_{code}" if code else ""
        room = LONGEST_NAME - len(tail) - max(map(len, self.suffixes))
        return cut(PREFIX + self.plain, room) + tail


def stems(fields: Mapping[str, FieldName]) -> dict[str, str]:
    """Tell what the columns of each field begin with, so that no two columns are equal.

    Fields with a column in common get a part of their code; a pinned one stays as it is beside
    others that are not.

    Args:
        fields: The fields of an entity, by code.

    Returns:
        The common beginning of each field's columns, by code.
    """
    shown = {code: 0 if field.plain else CODE_STEP for code, field in fields.items()}
    while True:
        found = {code: field.stem(code[: shown[code]]) for code, field in fields.items()}
        owners: dict[str, list[str]] = collections.defaultdict(list)
        for code, field in fields.items():
            for suffix in field.suffixes:
                owners[found[code] + suffix].append(code)
        growing: set[str] = set()
        for codes in owners.values():
            if len(codes) > 1:
                can_grow = [code for code in codes if shown[code] < len(code)]
                growing.update([c for c in can_grow if not fields[c].is_pinned] or can_grow)
        if not growing:
            return found
        for code in growing:
            shown[code] += CODE_STEP


class Pins:
    """The names that the user gives to fields, and what there is to say about them.

    Args:
        names: The names by code.
        entities: The lists of definitions that a code may be in.
    """

    def __init__(self, names: Mapping[str, str], entities: Iterable[str]) -> None:
        self.names = names
        self._unread = set(entities)
        self._unfound = set(names)
        self._unheeded: set[str] = set()
        self._lock = threading.Lock()

    def review(self, entity: str, columns: Mapping[str, str]) -> None:
        """Warn, once each, of pins that a list of definitions does not let have their name.

        Args:
            entity: The list of definitions.
            columns: The first column of each of its fields, by code.
        """
        with self._lock:
            for code in (self.names.keys() & columns.keys()) - self._unheeded:
                wanted = PREFIX + FieldName(self.names[code], is_pinned=True).plain
                if columns[code] != wanted:
                    self._unheeded.add(code)
                    logger.warning(
                        "pipedrive_custom_field_names: the column of %s is %s and not %s, which is"
                        " too long or belongs to another pinned field too.",
                        code,
                        columns[code],
                        wanted,
                    )
            self._unfound.difference_update(columns)
            self._unread.discard(entity)
            if self._unfound and not self._unread:
                logger.warning(
                    "pipedrive_custom_field_names: no custom field has the code %s.",
                    ", ".join(sorted(self._unfound)),
                )
                self._unfound.clear()
