"""Records that the API gives by their parents: line items of deals, comments of notes, and so on.

A parent's records are cut into batches of as many as one request for children may name. The
children of the next batches are fetched while one is written, and a batch of parents is written
after its children, so that the parents' bookmark never passes children that are still owed.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import math
import typing as t
from urllib.parse import quote

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.failures import ParentGone, StreamForbidden, TapError
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.core.stream import Batch, Page
from tap_pendo_pipedrive.streams.pipedrive.pages import read
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, Params, PipedriveStream

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.stream import Record

#: Parents that one request may name, where it may name several ("deal_ids").
PARENTS_A_REQUEST: t.Final = 100


class ParentStream(PipedriveStream):
    """A stream whose records have children in streams of their own."""

    #: Parents whose children are due with the next record.
    _due: tuple[t.Any, ...] = ()

    @property
    def wanted_children(self) -> list[ChildStream]:
        """The selected children that nothing has ended yet."""
        children = t.cast("list[ChildStream]", self.child_streams)
        return [child for child in children if child.selected and child.goes_on]

    def batches(self, context: Context | None) -> Iterator[Batch]:
        """Yield the records in batches whose children are fetched ahead."""
        waiting: collections.deque[tuple[Batch, tuple[t.Any, ...]]] = collections.deque()
        batches = super().batches(context)
        if not self.wanted_children:
            yield from batches
            return
        for batch, due in self.with_parents(batches):
            children = self.wanted_children if due else []
            for child in children:
                child.fetch_of(due)
            waiting.append((batch, due))
            # What is fetched ahead is lost when the day's tokens end: no more than keeps one child
            # of them busy.
            if len(waiting) > min((child.batches_ahead for child in children), default=0):
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)

    def with_parents(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, tuple[t.Any, ...]]]:
        """Cut batches into full ones, each with the parents whose children are due with it."""
        for batch in _cut(batches, PARENTS_A_REQUEST):
            yield batch, tuple(record["id"] for record in self.passing(batch))

    def passing(self, batch: Batch) -> Iterator[Record]:
        """The records whose children count."""
        return filter(self.passes_filter, batch.records)

    def _next(self, waiting: collections.deque[tuple[Batch, tuple[t.Any, ...]]]) -> Batch:
        batch, self._due = waiting.popleft()
        return batch

    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterable[Context | None]:
        """Yield the parents of a whole batch with its first record, and nothing with the others."""
        del record, context
        due, self._due = self._due, ()
        if due:
            yield {"parents": due}


class ChildStream(PipedriveStream):
    """Records that take a request for each parent, whose id stands for `{id}` in the path.

    So many requests are made only on purpose: the catalog does not select these streams.

    Attributes:
        parent_key: The column that holds a record's parent; None where records say it themselves.
        parent_param: Query parameter that names the parent, where the path does not.
    """

    state_partitioning_keys = ()
    selected_by_default = False
    parent_key: t.ClassVar[str | None] = None
    parent_param: t.ClassVar[str | None] = None
    #: Parents that one request names.
    parents_a_request: t.ClassVar[int] = 1
    #: Whether the endpoint was ever found in this run.
    _found = False

    @property
    def batches_ahead(self) -> int:
        """Batches of parents whose children are fetched at once."""
        parents = self.client.governor.concurrency * self.parents_a_request
        return math.ceil(parents / PARENTS_A_REQUEST)

    def fetch_of(self, parents: tuple[t.Any, ...]) -> None:
        """Start to fetch the children of some parents."""
        with contextlib.suppress(TapError):  # It comes again when it is their turn to be written.
            self._pages_of({"parents": parents})

    def end_early(self, reason: Exception) -> None:
        """Also stop to fetch the children of further parents."""
        super().end_early(reason)
        self.close()

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the children of a batch of parents, of several at once."""
        del span  # A parent that changed is read with all its children.
        walks = (self.of_parent(parent) for parent in (context or {})["parents"])
        return in_turn(walks, self.allowance, self.client.governor.concurrency)

    def of_parent(self, parent: t.Any) -> Iterator[Page]:  # noqa: ANN401 - an id of any type
        """Fetch the children of a parent. One that is gone meanwhile has none."""
        params: Params = {} if self.parent_param is None else {self.parent_param: parent}
        try:
            for page in self.walk({"id": parent}, params):
                self._found = True
                yield with_column(page, self.parent_key, parent) if self.parent_key else page
        except ParentGone:
            self._check_gate(parent)

    def path_of(self, context: Context | None) -> str:
        """The path of a parent's children."""
        return self.path.replace("{id}", quote(str((context or {}).get("id")), safe=""))

    def _check_gate(self, parent: t.Any) -> None:  # noqa: ANN401 - an id of any type
        """Find out what a 404 means where a plan may also lack the endpoint: is the parent there?

        Raises:
            StreamForbidden: It is, so the endpoint is not.
        """
        if not self.gated or self._found:
            return
        parents = t.cast("ParentStream", self.parent)
        for context in parents.partitions or (None,):
            if self.client.fetch(parents.request(context, {"ids": parent}), read).decode():
                raise StreamForbidden(
                    f"{self.name}: {self.path}: HTTP 404 for {parents.name} that exist: this part"
                    f" of {self.client.service} is not on the plan or not switched on."
                )


class BulkChildStream(ChildStream, CursorStream):
    """Records of deals, asked for a hundred deals at a time."""

    selected_by_default = True
    parent_key = "deal_id"
    parents_a_request = PARENTS_A_REQUEST

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the children of a batch of parents."""
        del span
        return self._of_parents((context or {})["parents"])

    def _of_parents(self, parents: tuple[int, ...]) -> Iterator[Page]:
        params: Params = {"deal_ids": ",".join(str(parent) for parent in parents)}
        try:
            for page in self.walk(None, params):
                self._found = True
                yield page
        except ParentGone:
            # One deal that is gone must not take the others' records with it.
            half = len(parents) // 2
            if not half:
                self._check_gate(parents[0])
                return
            yield from self._of_parents(parents[:half])
            yield from self._of_parents(parents[half:])


def with_column(page: Page, name: str, value: t.Any) -> Page:  # noqa: ANN401 - any JSON
    """Add a column to a page's rows that lack it."""
    rows = page.decode()
    for row in rows:
        row.setdefault(name, value)
    return dataclasses.replace(page, rows=rows)


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
