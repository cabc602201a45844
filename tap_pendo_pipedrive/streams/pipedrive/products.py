"""Products, and the line items that put them on deals."""

from __future__ import annotations

import collections
import datetime as dt
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.failures import ParentGone
from tap_pendo_pipedrive.core.stream import Batch, Outcome
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream
from tap_pendo_pipedrive.streams.pipedrive.sales import Deals
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, Params

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.stream import Page, Record

#: Deals that one request may name ("Get deal products of several deals").
DEALS_A_REQUEST: t.Final = 100


class Products(CustomFieldStream, CursorStream):
    """Products with their prices. The API has no `updated_until` for them."""

    name = "pipedrive_products"
    path = "/api/v2/products"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = gated = True
    fields_stream = "pipedrive_product_fields"


class DealProducts(CursorStream):
    """Line items of the deals that a run reads, asked for a hundred deals at a time."""

    name = "pipedrive_deal_products"
    path = "/api/v2/deals/products"
    primary_keys = ("id",)
    gated = True
    parent_stream_type = Deals
    state_partitioning_keys = ()

    @property
    def goes_on(self) -> bool:
        """Whether it makes sense to ask for more: nothing has ended the stream."""
        return self.report.outcome in {Outcome.PENDING, Outcome.COMPLETE}

    def ahead_of(
        self, deals: Iterator[Batch], passes: Callable[[Record], bool]
    ) -> Iterator[tuple[Batch, tuple[int, ...]]]:
        """Cut deals into batches and fetch the line items of the next ones already.

        Args:
            deals: The parent's batches.
            passes: Whether a deal's line items are wanted.

        Yields:
            Each batch with the ids of its deals whose line items are wanted.
        """
        waiting: collections.deque[tuple[Batch, tuple[int, ...]]] = collections.deque()
        for batch in _cut(deals, DEALS_A_REQUEST):
            deal_ids = tuple(deal["id"] for deal in batch.records if passes(deal))
            if deal_ids and self.goes_on:
                self._pages_of({"deal_ids": deal_ids})
            waiting.append((batch, deal_ids))
            if len(waiting) > self.client.governor.concurrency:
                yield waiting.popleft()
        yield from waiting

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the line items of a batch of deals."""
        del span  # Deals that changed are read with all their line items.
        return self._of_deals((context or {})["deal_ids"])

    def _of_deals(self, deal_ids: tuple[int, ...]) -> Iterator[Page]:
        params: Params = {"deal_ids": ",".join(str(deal_id) for deal_id in deal_ids)}
        try:
            yield from self.walk(None, params)
        except ParentGone:
            # One deal that is gone must not take the others' line items with it.
            if len(deal_ids) > 1:
                half = len(deal_ids) // 2
                yield from self._of_deals(deal_ids[:half])
                yield from self._of_deals(deal_ids[half:])


def _cut(batches: Iterator[Batch], size: int) -> Iterator[Batch]:
    """Cut batches anew, into full ones and the rest."""
    rest = Batch([], dt.datetime.now(timestamps.UTC))
    for batch in batches:
        records = rest.records + batch.records
        whole = len(records) - len(records) % size
        for start in range(0, whole, size):
            yield Batch(records[start : start + size], batch.fetched)
        rest = Batch(records[whole:], batch.fetched)
    if rest.records:
        yield rest
