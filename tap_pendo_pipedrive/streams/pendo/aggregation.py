"""Pendo's aggregation: requests written as pipelines, answers read in slices.

Source: Pendo, "Engage API" (POST /api/v1/aggregation) and its ETL examples.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

import msgspec

from tap_pendo_pipedrive.core.http import BadBodyError, Request, check_utf8
from tap_pendo_pipedrive.core.stream import Page

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    Row = dict[str, t.Any]

PATH: t.Final = "/api/v1/aggregation"
#: Bytes of an answer that are decoded at a time: what they become fits a processor's cache.
SLICE: t.Final = 1 << 17
#: What may stand before the rows of an answer, such as its start time.
LONGEST_HEAD: t.Final = 1 << 16


class _Row(msgspec.Struct):
    """Any object."""


_TEXT_NEXT: t.Final = re.compile(rb'\s*"').match
_SPLIT: t.Final = msgspec.json.Decoder(list[t.Optional[_Row]]).decode  # noqa: UP045 - for msgspec


def literal(text: str) -> str:
    r"""Write a text as a literal of the filter language, with ``\`` and ``"`` escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclasses.dataclass(frozen=True)
class Buckets:
    """The time series of an event source: some buckets in a row.

    Args:
        period: ``hourRange`` or ``dayRange``. Days are those of the subscription's time zone.
        first: A time within the first bucket, in epoch milliseconds.
        count: Number of buckets.
    """

    period: str
    first: int
    count: int

    def as_json(self) -> dict[str, t.Any]:
        """Write it as the API wants it; a count, since whether `last` is included is not told."""
        return {"period": self.period, "first": self.first, "count": self.count}


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A request for rows of one source.

    Args:
        source: Name of the source.
        params: The source's own parameters, such as ``appId``.
        buckets: For sources of events.
        identified: Leaves out visitors that were never identified.
        where: Filter expression.
        sort: Attributes to sort by.
        limit: Rows at most.
    """

    source: str
    params: dict[str, t.Any] | None = None
    buckets: Buckets | None = None
    identified: str | None = None
    where: str | None = None
    sort: Sequence[str] = ()
    limit: int | None = None

    def request(self, stream: str, *, tries: int | None = None) -> Request:
        """Describe the HTTP request."""
        source: dict[str, t.Any] = {self.source: self.params}
        if self.buckets is not None:
            source["timeSeries"] = self.buckets.as_json()
        stages: list[dict[str, t.Any]] = [{"source": source}]
        if self.identified is not None:
            stages.append({"identified": self.identified})
        if self.where is not None:
            stages.append({"filter": self.where})
        if self.sort:
            stages.append({"sort": list(self.sort)})
        if self.limit is not None:
            stages.append({"limit": self.limit})
        payload = {
            "response": {"mimeType": "application/json"},
            "request": {"name": stream, "pipeline": stages},
        }
        return Request(stream, PATH, payload=payload, spooled=True, tries=tries)


def check(body: IO[bytes]) -> IO[bytes]:
    """Make sure that an answer has rows, or says that it has none, and is not cut off.

    Raises:
        BadBodyError: It is not an answer of the aggregation.
    """
    body.seek(0)
    head = body.read(LONGEST_HEAD)
    if b'"results"' not in head:
        message = "results are missing"
        raise BadBodyError(message)
    size = body.seek(0, 2)
    body.seek(max(0, size - 64))
    if not body.read().rstrip().endswith(b"}"):
        message = "the body is cut off"
        raise BadBodyError(message)
    return body


def slices(body: IO[bytes]) -> Iterator[Page]:
    """Cut an answer's rows into pages, in memory that does not grow with their number.

    A slice ends between two rows. Whether it does shows when it is parsed: a cut within a row, be
    it in a nested list or a text, leaves brackets or quotes open. Rows are decoded when they are
    written.

    Raises:
        BadBodyError: The body is not JSON after all.
    """
    body.seek(0)
    rest = body.read(SLICE)
    start = rest.find(b'"results"') + len(b'"results"')
    rest = rest[start:].lstrip().removeprefix(b":").lstrip()
    if rest.startswith(b"null"):
        return
    if not rest.startswith(b"["):
        message = "results are not a list"
        raise BadBodyError(message)
    while more := body.read(SLICE):
        rest += more
        end = len(rest)
        while (end := rest.rfind(b"},", 0, end)) > 0:
            # Before an attribute's name, a cut would be within a row: that shows without parsing.
            if not _TEXT_NEXT(rest, end + 2) and (page := _page(rest[: end + 1] + b"]")):
                yield page
                rest = b"[" + rest[end + 2 :]
                break
    # Behind the last row, the envelope may go on.
    end = len(rest)
    while (end := rest.rfind(b"]", 0, end)) >= 0:
        if page := _page(rest[: end + 1]):
            yield page
            return
    message = "results do not end"
    raise BadBodyError(message)


def rows(body: IO[bytes]) -> Iterator[list[Row]]:
    """Read an answer's rows slice by slice."""
    for page in slices(body):
        yield page.decode()


def _page(text: bytes) -> Page | None:
    """Make a page of a list of rows; None if the text is none."""
    try:
        _SPLIT(text)
        check_utf8(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return Page(msgspec.Raw(text), len(text))
