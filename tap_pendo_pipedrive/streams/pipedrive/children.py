"""Records that the API gives by their parents: line items of deals, comments of notes, and so on.

A parent's records are cut into batches of as many as one request for children may name. The
children of the next batches are fetched while one is written, and a batch of parents is written
after its children, so that the parents' bookmark never passes children that are still owed.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import math
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.failures import ParentGone
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.core.stream import Batch, Page
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, Params, PipedriveStream

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
        for batch in _cut(batches, PARENTS_A_REQUEST):
            due = self.parents_of([each for each in batch.records if self.passes_filter(each)])
            children = self.wanted_children if due else []
            for child in children:
                child.fetch_of(due)
            waiting.append((batch, due))
            if len(waiting) > max((child.batches_ahead for child in children), default=0):
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)

    def _next(self, waiting: collections.deque[tuple[Batch, tuple[t.Any, ...]]]) -> Batch:
        batch, self._due = waiting.popleft()
        return batch

    def parents_of(self, records: Sequence[Record]) -> tuple[t.Any, ...]:
        """The ids of the records whose children are due."""
        return tuple(record["id"] for record in records)

    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterable[Context | None]:
        """Yield the parents of a whole batch with its first record, and nothing with the others."""
        del record, context
        due, self._due = self._due, ()
        if due:
            yield {"parents": due}


class ChildStream(PipedriveStream):
    """Records that take a request for each parent.

    Attributes:
        parent_key: The column that holds a record's parent. The path and the parameters name it
            in braces.
        parent_params: Query parameters that name the parent.
    """

    state_partitioning_keys = ()
    parent_key: t.ClassVar[str]
    parent_params: t.ClassVar[tuple[str, ...]] = ()
    #: Parents that one request names.
    parents_a_request: t.ClassVar[int] = 1

    @property
    def batches_ahead(self) -> int:
        """Batches of parents whose children are fetched at once."""
        parents = self.client.governor.concurrency * self.parents_a_request
        return math.ceil(parents / PARENTS_A_REQUEST)

    def fetch_of(self, parents: tuple[t.Any, ...]) -> None:
        """Start to fetch the children of some parents."""
        self._pages_of({"parents": parents})

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the children of a batch of parents, of several at once."""
        del span  # A parent that changed is read with all its children.
        walks = (self.of_parent(parent) for parent in (context or {})["parents"])
        return in_turn(walks, self.allowance, self.client.governor.concurrency)

    def of_parent(self, parent: t.Any) -> Iterator[Page]:  # noqa: ANN401 - an id of any type
        """Fetch the children of a parent. One that is gone meanwhile has none."""
        params: Params = dict.fromkeys(self.parent_params, parent)
        try:
            for page in self.walk({self.parent_key: parent}, params):
                rows = page.decode()
                for row in rows:
                    row.setdefault(self.parent_key, parent)
                yield dataclasses.replace(page, rows=rows)
        except ParentGone:
            return

    def path_of(self, context: Context | None) -> str:
        """The path of a parent's children."""
        return self.path.format_map(context or {})


class BulkChildStream(ChildStream, CursorStream):
    """Records of deals, asked for a hundred deals at a time."""

    parents_a_request = PARENTS_A_REQUEST

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the children of a batch of parents."""
        del span
        return self._of_parents((context or {})["parents"])

    def _of_parents(self, parents: tuple[int, ...]) -> Iterator[Page]:
        params: Params = {"deal_ids": ",".join(str(parent) for parent in parents)}
        try:
            yield from self.walk(None, params)
        except ParentGone:
            # One deal that is gone must not take the others' records with it.
            if len(parents) > 1:
                half = len(parents) // 2
                yield from self._of_parents(parents[:half])
                yield from self._of_parents(parents[half:])


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
