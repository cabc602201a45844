"""How Pipedrive cuts its lists into pages: by cursor (v2), by offset (v1), or not at all."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

import msgspec

from tap_pendo_pipedrive.core.failures import StreamFailed
from tap_pendo_pipedrive.core.http import BadBodyError, check_utf8
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.core.stream import Page, Record

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_pendo_pipedrive.core.http import Client, Request
    from tap_pendo_pipedrive.core.prefetch import Allowance

#: The largest page of most lists (v2: `limit` of each list; v1: "Pagination").
LARGEST_PAGE: t.Final = 500
#: Pages that a list must have for each page of it that is fetched at the same time.
PAGES_A_LANE: t.Final = 8
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


_REPEATS: t.Final = (
    "{request.stream}: {request}: Pipedrive repeats a page instead of coming to an end. Run again"
    " later."
)
_DECODE: t.Final = msgspec.json.Decoder(_Envelope).decode


class _Row(msgspec.Struct):
    update_time: t.Any = None


_SKIM: t.Final = msgspec.json.Decoder(list[t.Optional[_Row]]).decode  # noqa: UP045 - for msgspec


@dataclasses.dataclass(frozen=True)
class Answered(Page):
    """A page and what its envelope says about the next one.

    Attributes:
        cursor: Where the next page starts (v2); None at the end.
        more: Whether there is a next page (v1); None where the answer does not say.
        stamps: The rows' update times, as far as they have one.
    """

    cursor: str | None
    more: bool | None
    stamps: tuple[t.Any, ...] = ()


def read(body: bytes) -> Answered:
    """Read an answer's envelope; its rows stay undecoded.

    Raises:
        BadBodyError: The body is cut off, is not JSON, or is no success after all.
    """
    try:
        envelope = _DECODE(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
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
        try:
            # Skimmed now, when the page can still be asked for again; decoded when it is written.
            check_utf8(body)
            rows = _SKIM(envelope.data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadBodyError(str(error)) from None
        stamps = tuple(row.update_time for row in rows if row is not None)
        return Answered(envelope.data, len(body), cursor, more, stamps)
    if head != b"n":
        message = "data is not a list" if head else "data is missing"
        raise BadBodyError(message)
    # Pipedrive writes an empty list as null, but never in the middle of one.
    if cursor or more:
        message = "data is null, although more pages follow"
        raise BadBodyError(message)
    return Answered([], len(body), cursor, more)


def single_page(client: Client, request: Request) -> Iterator[Answered]:
    """Fetch a list that comes in one answer."""
    yield client.fetch(request, read)


def cursor_pages(client: Client, request: Request) -> Iterator[Answered]:
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
            raise StreamFailed(_REPEATS.format(request=request))
        seen.add(page.cursor)
        params = {**request.params, "cursor": page.cursor}


def offset_pages(
    client: Client, request: Request, limit: int, allowance: Allowance
) -> Iterator[Answered]:
    """Walk a v1 list by offset without losing a row when it changes meanwhile.

    Rows that vanish or move to the end pull all later ones forward, past the next offset. So each
    page overlaps the one before by a row: it must begin with a row that was seen. If it does not,
    the walk steps back until it does. What was seen is always the beginning of the list, so that
    nothing can hide before such a row. Rows that did not change are handed out once.

    Long lists are fetched some pages at a time; the requests past the end that this may cost are
    at most one for :data:`PAGES_A_LANE` pages.

    Args:
        client: Sends the requests.
        request: The list; its sort order must be ascending.
        limit: Rows a page.
        allowance: Memory for pages that wait.

    Raises:
        StreamFailed: The API gives the same page again and again.
    """
    seen: collections.deque[dict[t.Any, t.Any]] = collections.deque(maxlen=REMEMBERED)
    start = furthest = read_pages = 0
    overlaps = False
    while True:
        lanes = min(client.governor.concurrency, 1 + read_pages // PAGES_A_LANE)
        offsets = [start + lane * (limit - 1) for lane in range(lanes)]
        requests = [
            dataclasses.replace(request, params={**request.params, "limit": limit, "start": offset})
            for offset in offsets
        ]
        walks = [single_page(client, each) for each in requests]
        for offset, answer in zip(offsets, in_turn(walks, allowance, lanes), strict=False):
            if offset != start:
                break  # The list is not what the requests ahead took it for.
            rows = answer.decode()
            known = collections.ChainMap(*seen)
            # An edited row has moved, so it does not show where the walk is.
            if overlaps and not (rows and known.get(rows[0].get("id"), _NEVER) == _stamp(rows[0])):
                start = max(0, start - limit + 1)
                overlaps = start > 0
                break
            fresh = [row for row in rows if known.get(row.get("id"), _NEVER) != _stamp(row)]
            yield dataclasses.replace(answer, rows=fresh)
            read_pages += 1
            if not rows or not (len(rows) >= limit if answer.more is None else answer.more):
                return
            if not fresh and start >= furthest - 1:
                if offset != offsets[0]:
                    break  # It was fetched before the page in front of it; ask again.
                if answer.more is None:
                    return  # A list without pages that happens to be as long as one.
                raise StreamFailed(_REPEATS.format(request=request))
            seen.appendleft({row.get("id"): _stamp(row) for row in rows})
            # A page of one row cannot overlap the next one and yet lead on.
            overlaps = len(rows) > 1
            start += len(rows) - overlaps
            furthest = max(furthest, start + overlaps)


def _stamp(row: Record) -> t.Any:  # noqa: ANN401 - compared only
    return row.get("update_time")


_NEVER: t.Final = object()


def owed_nulls(pages: Iterable[Page], key: str) -> Iterator[Page]:
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
