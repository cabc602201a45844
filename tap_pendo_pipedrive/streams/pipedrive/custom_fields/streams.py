"""The streams of field definitions, and the base of streams whose records have custom fields."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
import typing as t

from tap_pendo_pipedrive.core.failures import StreamForbidden, TapError
from tap_pendo_pipedrive.core.stream import Page, Record
from tap_pendo_pipedrive.streams.pipedrive import pages
from tap_pendo_pipedrive.streams.pipedrive.custom_fields.definitions import Definitions
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, PipedriveStream

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.http import Client
    from tap_pendo_pipedrive.streams.pipedrive.custom_fields.field_types import Schema
    from tap_pendo_pipedrive.streams.pipedrive.custom_fields.naming import Pins
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

logger = logging.getLogger("tap-pendo-pipedrive.custom_fields")

#: Seconds after which definitions may be read once more because of records that go beyond them.
PAUSE: t.Final = 60.0


class FieldStream(CursorStream):
    """Field definitions of one entity. A list, not a table: no times, no ids.

    Attributes:
        pins: The names that the user gives to custom fields.
    """

    primary_keys = ("field_code",)
    pins: Pins

    def __init__(self, tap: TapPendoPipedrive, client: Client) -> None:
        super().__init__(tap, client)
        self._lock = threading.Lock()
        self._known: Definitions | None = None
        self._forbidden: StreamForbidden | None = None
        self._looked_for: set[str] = set()
        self._next_look = 0.0

    def fetch_early(self) -> None:
        """Fetch the definitions in the background, since discovery is about to need them."""

        def fetch() -> None:
            with contextlib.suppress(TapError):  # Raised again where they are needed.
                self.known()

        threading.Thread(target=fetch, daemon=True).start()

    def known(self) -> Definitions:
        """The definitions, fetched now unless they were before.

        Raises:
            StreamForbidden: They may not be read, which is asked for once only.
        """
        with self._lock:
            if self._forbidden is not None:
                raise self._forbidden
            if self._known is None:
                try:
                    self._known = self._fetch()
                except StreamForbidden as reason:
                    self._forbidden = reason
                    raise
            return self._known

    def codes_so_far(self) -> list[str]:
        """The codes of custom fields, if they were fetched before."""
        return list(self._known.custom) if self._known else []

    def look_again(self, unknown: Collection[str], before: Definitions) -> Definitions:
        """Return newer definitions if there are any, since records have what these do not know.

        They are fetched once for the same thing, and once in a while.

        Args:
            unknown: What it is; any texts that differ from thing to thing.
            before: The definitions that do not know it. Those of a stream whose fields may not be
                read are nobody's latest, so that nothing is fetched for it.
        """
        with self._lock:
            is_new = not self._looked_for.issuperset(unknown)
            if self._known is before and is_new and time.monotonic() >= self._next_look:
                logger.info("%s: read again for what is new in the records", self.name)
                self._known = self._fetch()
                self._looked_for.update(unknown)
                self._next_look = time.monotonic() + PAUSE
            return self._known or before

    def _fetch(self) -> Definitions:
        request = self.request(None, {"limit": pages.LARGEST_PAGE})
        try:
            walk = pages.cursor_pages(self.client, request)
            known = Definitions([row for page in walk for row in page.decode()], self.pins.names)
        except StreamForbidden:
            self.pins.review(self.name, {})
            raise
        columns = {code: known.column_name(row) for code, row in known.custom.items()}
        self.pins.review(self.name, columns)
        return known

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Hand out the definitions in one page; discovery may have fetched them already."""
        del context, span
        known = self.known()
        rows = [{**row, "column_name": known.column_name(row)} for row in known.rows]
        yield Page(rows, 1024 * len(rows))


class CustomFieldStream(PipedriveStream):
    """A stream whose records have custom fields.

    Attributes:
        fields_stream: Name of the stream that lists the definitions.
    """

    fields_stream: t.ClassVar[str]
    fields: FieldStream

    @functools.cached_property
    def is_named(self) -> bool:
        """Whether each custom field gets columns of its own."""
        return bool(self.config["pipedrive_custom_fields"] == "named")

    @functools.cached_property
    def definitions(self) -> Definitions:
        """What is known of the fields now; nothing where they may not be read."""
        try:
            return self.fields.known()
        except StreamForbidden as reason:
            logger.warning("%s: its custom fields stay untyped: %s", self.name, reason)
            return Definitions()

    def load_schema(self) -> Schema:
        """Add the account's custom fields to the schema that comes with the package."""
        schema = super().load_schema()
        try:
            definitions = self.definitions
        except TapError as reason:
            # A sync goes on: what can be read is read, and the streams say what is wrong.
            logger.warning("%s: its custom fields stay untyped: %s", self.name, reason)
            self._tap.discovery_problems.append(reason)
            definitions = Definitions()
        if self.is_named:
            del schema["properties"]["custom_fields"]
            schema["properties"].update(definitions.column_schemas())
        else:
            schema["properties"]["custom_fields"]["properties"] = definitions.value_schemas()
        return schema

    def property_of(self, path: tuple[str, ...]) -> Schema | None:
        """Return the JSON schema of a custom field that the stream's schema may not have yet.

        Args:
            path: A column, or in the nested form ``custom_fields`` and a code.
        """
        *parents, name = path
        if (known := super().property_of(path)) is not None:
            return known
        with contextlib.suppress(TapError):  # It comes again where it matters.
            if self.is_named and not parents:
                return self.definitions.column_schemas().get(name)
            if not self.is_named and parents == ["custom_fields"]:
                if name not in self.definitions.custom:
                    self._look_again([name])
                return self.definitions.value_schemas().get(name)
        return None

    @property
    def prepare(self) -> Callable[[Record], Record] | None:  # type: ignore[override]  # by setting
        """Writes custom fields into columns of their own, if the settings ask for it."""
        return self.into_columns if self.is_named else None

    def into_columns(self, row: Record) -> Record:
        """Write a row's custom fields into columns of their own."""
        values = row.pop("custom_fields", None) or {}
        record, unknown = self.definitions.write(row, values)
        while unknown and self._look_again(unknown):
            record, unknown = self.definitions.write(row, values)
        return record

    def _look_again(self, unknown: Collection[str]) -> bool:
        """Whether there are newer definitions, after these things were not found in the old."""
        before = self.definitions
        self.definitions = self.fields.look_again(unknown, before)
        return self.definitions is not before
