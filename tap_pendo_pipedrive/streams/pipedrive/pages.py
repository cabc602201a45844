"""How Pipedrive cuts its lists into pages: by cursor (v2), by offset (v1), or not at all."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

import msgspec

from tap_pendo_pipedrive.core.failures import StreamFailed
from tap_pendo_pipedrive.core.http import BadBodyError
from tap_pendo_pipedrive.core.stream import Page, Record

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_pendo_pipedrive.core.http import Client, Request

#: The largest page of most lists (v2: `limit` of each list; v1: "Pagination").
LARGEST_PAGE: t.Final = 500
#: Pages whose rows an offset walk remembers, to recognise where it is.
REMEMBERED: t.Final = 4


class _Pagination(msgspec.Struct):
    more_items_in_collection: bool | None = None


class _AdditionalData(msgspec.Struct):
    next_cursor: str | int | None = None
    more_items_in_collection: bool | None = None
    pagination: _Pagination | None = None


class _Envelope(msgspec.Struct):
    success: bool | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    additional_data: _AdditionalData | None = None


_DECODE: t.Final = msgspec.json.Decoder(_Envelope).decode


@dataclasses.dataclass(frozen=True)
class Answered(Page):
    """A page and what its envelope says about the next one.

    Attributes:
        cursor: Where the next page starts (v2); None at the end.
        more: Whether there is a next page (v1); None where the answer does not say.
    """

    cursor: str | None
    more: bool | None


def read(body: bytes) -> Answered:
    """Read an answer's envelope; its rows stay undecoded.

    Raises:
        BadBodyError: The body is cut off, is not JSON, or is no success after all.
    """
    try:
        envelope = _DECODE(body)
    except msgspec.MsgspecError as error:
        raise BadBodyError(str(error)) from None
    if envelope.success is False:
        message = "success is false"
        raise BadBodyError(message)
    extra = envelope.additional_data or _AdditionalData()
    more = extra.more_items_in_collection
    if more is None and extra.pagination is not None:
        more = extra.pagination.more_items_in_collection
    cursor = None if extra.next_cursor in {None, ""} else str(extra.next_cursor)
    head = bytes(memoryview(envelope.data)[:1])
    if head == b"[":
        return Answered(envelope.data, len(body), cursor, more)
    if head != b"n":
        message = "data is not a list" if head else "data is missing"
        raise BadBodyError(message)
    # Pipedrive writes an empty list as null, but never in the middle of one.
    if cursor or more:
        message = "data is null, although more pages follow"
        raise BadBodyError(message)
    return Answered([], len(body), cursor, more)


def single_page(client: Client, request: Request) -> Iterator[Page]:
    """Fetch a list that comes in one answer."""
    yield client.fetch(request, read)


def cursor_pages(client: Client, request: Request) -> Iterator[Page]:
    """Follow the cursors of a v2 list.

    Raises:
        StreamFailed: The API hands out a cursor a second time.
    """
    seen: set[str] = set()
    params = dict(request.params)
    while True:
        page = client.fetch(dataclasses.replace(request, params=params), read)
        yield page
        if page.cursor is None:
            return
        if page.cursor in seen:
            raise StreamFailed(
                f"{request.stream}: {request}: Pipedrive repeats a page instead of coming to an"
                " end. Run again later."
            )
        seen.add(page.cursor)
        params = {**request.params, "cursor": page.cursor}


def offset_pages(client: Client, request: Request, limit: int) -> Iterator[Page]:
    """Walk a v1 list by offset without losing a row when it changes meanwhile.

    Rows that vanish or move to the end pull all later ones forward, past the next offset. So each
    page overlaps the one before by a row: it must begin with a row that was seen. If it does not,
    the walk steps back until it does. What was seen is always the beginning of the list, so that
    nothing can hide before such a row. Rows that did not change are handed out once.

    Args:
        client: Sends the requests.
        request: The list; its sort order must be ascending.
        limit: Rows a page.

    Raises:
        StreamFailed: The API gives the same page again and again.
    """
    seen: collections.deque[dict[t.Any, t.Any]] = collections.deque(maxlen=REMEMBERED)
    start = furthest = 0
    while True:
        params = {**request.params, "limit": limit, "start": start}
        answer = client.fetch(dataclasses.replace(request, params=params), read)
        rows = answer.decode()
        known = collections.ChainMap(*seen)
        if start and not (rows and rows[0].get("id") in known):
            start = max(0, start - limit + 1)
            continue
        fresh = [row for row in rows if known.get(row.get("id"), _NEVER) != row.get("update_time")]
        yield Page(fresh, answer.size)
        more = len(rows) >= limit if answer.more is None else answer.more
        end = start + len(rows)
        if not more or not rows:
            return
        if not fresh and start >= furthest - 1:
            if answer.more is None:
                return  # A list without pages that happens to be as long as one.
            raise StreamFailed(
                f"{request.stream}: {request}: Pipedrive repeats a page instead of coming to an"
                " end. Run again later."
            )
        seen.appendleft({row.get("id"): row.get("update_time") for row in rows})
        furthest = max(furthest, end)
        start = end - 1


_NEVER: t.Final = object()


def owed_nulls(pages: Iterator[Page], key: str) -> Iterator[Page]:
    """Pick the rows without a replication key from the head of a list that is sorted down.

    Args:
        pages: The list, sorted descending.
        key: The replication key.
    """
    for page in pages:
        rows: list[Record] = page.decode()
        nulls = [row for row in rows if row.get(key) is None]
        yield Page(nulls, page.size)
        if len(nulls) < len(rows) or not rows:
            return
