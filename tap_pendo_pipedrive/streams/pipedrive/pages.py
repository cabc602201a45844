"""How Pipedrive cuts its lists into pages: by cursor (v2), by offset (v1), or not at all."""

from __future__ import annotations

import collections
import dataclasses
import functools
import typing as t

import msgspec

from tap_pendo_pipedrive.core.failures import StreamFailed
from tap_pendo_pipedrive.core.http import BadBodyError, check_utf8
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.core.stream import Page, Record

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tap_pendo_pipedrive.core.http import Client, Request
    from tap_pendo_pipedrive.core.prefetch import Allowance

#: The largest page of most lists (v2: `limit` of each list; v1: "Pagination").
LARGEST_PAGE: t.Final = 500
#: Pages that a list must have for each page of it that is fetched at the same time.
PAGES_A_LANE: t.Final = 4
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
    additional_data: _AdditionalData | None = None


class _List(_Envelope):
    """An answer whose rows are split in the same pass; they are decoded when they are written."""

    data: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


class _Other(_Envelope):
    data: msgspec.Raw = msgspec.Raw(b"")


_REPEATS: t.Final = (
    "{request.stream}: {request}: Pipedrive repeats a page instead of coming to an end. Run again"
    " later."
)
#: A row is an object or null.
_STARTS_OF_ROWS: t.Final = frozenset(b"{n")
_DECODE_LIST: t.Final = msgspec.json.Decoder(_List).decode
_DECODE_OTHER: t.Final = msgspec.json.Decoder(_Other).decode


class _Row(msgspec.Struct):
    update_time: t.Any = None


_SKIM: t.Final = msgspec.json.Decoder(t.Optional[_Row]).decode  # noqa: UP045 - for msgspec


@dataclasses.dataclass(frozen=True)
class Answered(Page):
    """A page and what its envelope says about the next one.

    Attributes:
        cursor: Where the next page starts (v2); None at the end.
        more: Whether there is a next page (v1); None where the answer does not say.
    """

    cursor: str | None
    more: bool | None

    def stamps(self, *, backwards: bool = False) -> Iterator[str]:
        """The update times of rows that have one, in their order, as far as anyone asks."""
        rows = t.cast("list[msgspec.Raw]", self.rows)
        for each in reversed(rows) if backwards else rows:
            row = _SKIM(each)
            if row is not None and isinstance(row.update_time, str):
                yield row.update_time


@dataclasses.dataclass(frozen=True)
class RowsIn:
    """Where the rows are in an answer's `data`, if they are not a list there.

    Attributes:
        find: Returns the rows.
    """

    find: Callable[[msgspec.Raw], list[msgspec.Raw] | None]


def in_list(name: str) -> RowsIn:
    """The rows are a list inside of `data`, under this name."""
    rows = t.Optional[list[msgspec.Raw]]  # noqa: UP045 - evaluated by msgspec on Python 3.10
    decode = msgspec.json.Decoder(msgspec.defstruct("_Data", [(name, rows)])).decode
    return RowsIn(lambda data: t.cast("list[msgspec.Raw] | None", getattr(decode(data), name)))


def in_each(name: str) -> RowsIn:
    """`data` is a list, and each row is inside of an item, under this name."""
    item: t.Any = msgspec.defstruct("_Item", [(name, msgspec.Raw)])
    decode = msgspec.json.Decoder(list[item]).decode
    return RowsIn(lambda data: [getattr(each, name) for each in decode(data)])


#: `data` is the only row.
ALONE: t.Final = RowsIn(lambda data: [data])


def read(body: bytes, rows_in: RowsIn | None = None) -> Answered:
    """Read an answer's envelope; its rows stay undecoded.

    Args:
        body: The answer.
        rows_in: Where the rows are, if `data` is not a list of them.

    Raises:
        BadBodyError: The body is cut off, is not JSON, or is no success after all.
    """
    try:
        # Whatever is wrong must show now, when the page can still be asked for again.
        check_utf8(body)
        envelope = _DECODE_LIST(body) if rows_in is None else _DECODE_OTHER(body)
        rows = envelope.data if isinstance(envelope, _List) else _find(rows_in, envelope.data)
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
    if rows is msgspec.UNSET:
        message = "data is missing"
        raise BadBodyError(message)
    if not {memoryview(row)[0] for row in rows or ()} <= _STARTS_OF_ROWS:
        message = "a row is not an object"
        raise BadBodyError(message)
    # Pipedrive writes an empty list as null, but never in the middle of one.
    if rows is None and (cursor or more):
        message = "data is null, although more pages follow"
        raise BadBodyError(message)
    return Answered(rows or [], len(body), cursor, more, one_line=b"\n" not in body)


def _find(
    rows_in: RowsIn | None, data: msgspec.Raw
) -> list[msgspec.Raw] | msgspec.UnsetType | None:
    head = bytes(memoryview(data)[:1])
    if rows_in is None or not head:
        return msgspec.UNSET
    return None if head == b"n" else rows_in.find(data)


def single_page(
    client: Client, request: Request, rows_in: RowsIn | None = None
) -> Iterator[Answered]:
    """Fetch a list that comes in one answer."""
    yield client.fetch(request, functools.partial(read, rows_in=rows_in))


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


@dataclasses.dataclass(frozen=True)
class OffsetList:
    """A v1 list to walk.

    Attributes:
        request: Asks for it. Its order must not change by itself.
        limit: Rows a page.
        keys: Attributes that identify a row.
        rows_in: As in :func:`read`.
        tells_more: As in the stream of this list.
    """

    request: Request
    limit: int
    keys: Sequence[str]
    rows_in: RowsIn | None = None
    tells_more: bool = True

    def page(self, client: Client, offset: int) -> Iterator[Answered]:
        """Fetch the page at an offset."""
        params = {**self.request.params, "limit": self.limit, "start": offset}
        return single_page(client, dataclasses.replace(self.request, params=params), self.rows_in)

    def identity(self, row: Record) -> t.Any:  # noqa: ANN401 - compared only
        """What makes a row the same as one on another page."""
        return tuple(row.get(key) for key in self.keys)

    def ends_with(self, page: Answered, rows: list[Record]) -> bool:
        """Whether no page can follow."""
        if not rows:
            return True
        if page.more is None:
            return self.tells_more and len(rows) < self.limit
        return not page.more


def offset_pages(client: Client, listed: OffsetList, allowance: Allowance) -> Iterator[Answered]:
    """Walk a v1 list by offset without losing a row when it changes meanwhile.

    Rows that vanish or move to the end pull all later ones forward, past the next offset. So each
    page overlaps the one before by a row: it must begin with a row that was seen. If it does not,
    the walk steps back until it does. What was seen is always the beginning of the list, so that
    nothing can hide before such a row. Rows that did not change are handed out once.

    Long lists are fetched some pages at a time; the requests past the end that this may cost are
    at most one for :data:`PAGES_A_LANE` pages.

    Args:
        client: Sends the requests.
        listed: The list; its sort order should be ascending, so that rows change places to the end.
        allowance: Memory for pages that wait.

    Raises:
        StreamFailed: The API gives the same page again and again.
    """
    limit, identity = listed.limit, listed.identity
    seen: collections.deque[dict[t.Any, t.Any]] = collections.deque(maxlen=REMEMBERED)
    start = furthest = read_pages = 0
    overlaps = False
    while True:
        lanes = min(client.governor.concurrency, 1 + read_pages // PAGES_A_LANE)
        offsets = [start + lane * (limit - 1) for lane in range(lanes)]
        walks = [listed.page(client, offset) for offset in offsets]
        for offset, answer in zip(offsets, in_turn(walks, allowance, lanes), strict=False):
            if offset != start:
                break  # The list is not what the requests ahead took it for.
            rows = answer.decode()
            known = collections.ChainMap(*seen)
            # An edited row has moved, so it does not show where the walk is.
            if overlaps and not (rows and known.get(identity(rows[0]), _NEVER) == _stamp(rows[0])):
                start = max(0, start - limit + 1)
                overlaps = start > 0
                break
            # Before the rows are given away: whoever has them changes them.
            stamps = {identity(row): _stamp(row) for row in rows}
            fresh = [row for row in rows if known.get(identity(row), _NEVER) != _stamp(row)]
            yield dataclasses.replace(answer, rows=fresh)
            read_pages += 1
            if listed.ends_with(answer, rows):
                return
            if not fresh and start >= furthest - 1:
                if offset != offsets[0]:
                    break  # It was fetched before the page in front of it; ask again.
                if answer.more is None:
                    return  # A list without pages that happens to be as long as one.
                raise StreamFailed(_REPEATS.format(request=listed.request))
            seen.appendleft(stamps)
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
