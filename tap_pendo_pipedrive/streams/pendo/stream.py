"""The base of Pendo's lists."""

from __future__ import annotations

import copy
import functools
import typing as t
from importlib import resources

import msgspec
from singer_sdk.schema.source import SchemaDirectory

from tap_pendo_pipedrive.core.http import BadBodyError, Request
from tap_pendo_pipedrive.core.stream import ApiStream, Page
from tap_pendo_pipedrive.streams.pendo.shaping import shape_row

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.stream import Record

_SCHEMAS: t.Final = SchemaDirectory(resources.files("tap_pendo_pipedrive.schemas.pendo"))


#: A bare array of objects, as Pendo's lists come.
_ROWS = list[t.Optional[dict[str, t.Any]]]  # noqa: UP045 - evaluated by msgspec on Python 3.10


class PendoStream(ApiStream):
    """A stream of Pendo."""

    # Its times are numbers, of which 0 says so.
    dates_may_be_empty = False

    @functools.cached_property
    def schema(self) -> dict[str, t.Any]:
        """The stream's JSON schema."""
        return self.load_schema()

    def load_schema(self) -> dict[str, t.Any]:
        """Read the schema that comes with the package."""
        return copy.deepcopy(_SCHEMAS.get_schema(self.name.removeprefix("pendo_")))

    @property
    def apps(self) -> list[int] | str:
        """The applications to read, as the aggregation wants them."""
        return self.config.get("pendo_app_ids") or 'expandAppIds("*")'

    def get_json(
        self,
        path: str,
        kind: t.Any,  # noqa: ANN401 - any type that JSON can have
        params: Mapping[str, str | int] | None = None,
        *,
        of_parent: bool = False,
    ) -> t.Any:  # noqa: ANN401 - of that type
        """Fetch something that is small.

        Args:
            path: Its path.
            kind: The type that its body must have.
            params: Query parameters.
            of_parent: The path names one parent record, which may vanish.
        """

        def read(body: bytes) -> t.Any:  # noqa: ANN401 - the caller says what it wants
            try:
                return msgspec.json.decode(body, type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise BadBodyError(str(error)) from None

        request = Request(self.name, path, params or {}, of_parent=of_parent)
        return self.client.fetch(request, read)

    def get_rows(
        self, path: str, params: Mapping[str, str | int] | None = None, *, of_parent: bool = False
    ) -> list[Record]:
        """Fetch a list that comes whole in one answer. Rows that are null are left out."""
        rows = self.get_json(path, _ROWS, params, of_parent=of_parent)
        return [row for row in rows if row is not None]

    def prepare(self, row: Record) -> Record:
        """Give rows the columns' names and times."""
        return shape_row(row)


class ListStream(PendoStream):
    """A list that comes whole in one answer, as a bare array.

    Attributes:
        params: Query parameters.
        of_apps: Its objects belong to applications.
    """

    primary_keys = ("id",)
    replication_key: str | None = "last_updated_at"
    # Without it only the default application's objects come ("One-application responses").
    params: t.ClassVar[Mapping[str, str]] = {"expand": "*"}
    of_apps: t.ClassVar[bool] = True

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the list."""
        del context, span
        rows = self.get_rows(self.path, self.params)
        yield Page(self._of_apps(rows), 1024 * len(rows))

    def _of_apps(self, rows: list[Record]) -> list[Record]:
        wanted = set(self.config.get("pendo_app_ids") or ())
        if not wanted or not self.of_apps:
            return rows
        return [row for row in rows if wanted & {row.get("appId"), *(row.get("appIds") or ())}]
