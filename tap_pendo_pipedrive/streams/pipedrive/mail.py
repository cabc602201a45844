"""The user's mailbox: threads by folder, and their messages. By OAuth it takes `mail:read`."""

from __future__ import annotations

import datetime as dt
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.bookmarks import CLOCK_TOLERANCE, Span
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.core.stream import Page
from tap_pendo_pipedrive.streams.pipedrive.children import ChildStream, ParentStream, with_column
from tap_pendo_pipedrive.streams.pipedrive.stream import OffsetStream, V1Stream

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.stream import Batch

#: A thread's id, and when it changed.
Thread = tuple[int, t.Optional[str]]  # noqa: UP045 - evaluated on Python 3.10

FOLDERS: t.Final = ("inbox", "drafts", "sent", "archive")
#: Threads whose messages a run may have to read again when it was stopped in between.
THREADS_A_MARK: t.Final = 20


class MailThreads(ParentStream, OffsetStream):
    """Mail threads, once for each folder that they are in."""

    name = "pipedrive_mail_threads"
    path = "/v1/mailbox/mailThreads"
    primary_keys = ("id", "folder")
    gated = True
    tells_more = False

    #: When the run began to look for threads.
    began: dt.datetime

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the folders, each a list of its own."""
        del context, span
        self.began = dt.datetime.now(timestamps.UTC)
        folders = (self._in_folder(folder) for folder in FOLDERS)
        return in_turn(folders, self.allowance, self.client.governor.concurrency)

    def _in_folder(self, folder: str) -> Iterator[Page]:
        for page in self.walk(None, {"folder": folder}):
            yield with_column(page, "folder", folder)

    def with_parents(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, tuple[Thread, ...]]]:
        """Give the last batch all threads: only then it is known which one changed first."""
        threads: dict[int, str | None] = {}
        waiting: Batch | None = None
        for batch in batches:
            if waiting:
                yield waiting, ()
            waiting = batch
            threads |= {row["id"]: row.get("update_time") for row in self.passing(batch)}
        if waiting:
            yield waiting, tuple(threads.items())


class MailMessages(ChildStream, V1Stream):
    """Messages of the mail threads that changed, each with the address of its text.

    Threads are asked for in the order of their changes. The state tells up to which change all
    messages were read; the next run begins with that thread again.
    """

    name = "pipedrive_mail_messages"
    path = "/v1/mailbox/mailThreads/{id}/mailMessages"
    primary_keys = ("id",)
    parent_stream_type = MailThreads
    parent_key = "mail_thread_id"
    reads_all = False

    #: In the state: the latest change of a thread up to which all messages were read.
    READ_UNTIL = "threads_read_until"

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the messages of the threads that changed."""
        del span
        threads = self._changed((context or {})["parents"])
        marks = {*range(THREADS_A_MARK, len(threads), THREADS_A_MARK), len(threads)}
        # While the folders are listed, a thread may move from one that is still to come to one
        # that was read. That is a change, so the mark stays before what happens meanwhile.
        began = t.cast("MailThreads", self.parent).began
        latest = timestamps.whole_seconds(began - CLOCK_TOLERANCE)
        walks = (
            self._of_thread(thread, changed if number in marks and changed < latest else "")
            for number, (thread, changed) in enumerate(threads, 1)
        )
        return in_turn(walks, self.allowance, self.client.governor.concurrency)

    def _of_thread(self, thread: int, mark: str) -> Iterator[Page]:
        yield from self.of_parent(thread)
        if mark:
            yield Page([], 0, progress={self.READ_UNTIL: mark})

    def _changed(self, threads: tuple[Thread, ...]) -> list[tuple[int, str]]:
        """The threads from the mark and the start on, in the order of their changes."""
        key = self.READ_UNTIL
        mark = self.known_state(None).get(key)
        state = {"replication_key": key, "replication_key_value": mark}
        is_wanted = Span.of(self.name, key, state, self.config).selector()
        wanted = [
            (thread, changed or "")
            for thread, changed in threads
            if is_wanted is None or is_wanted(changed)
        ]
        return sorted(wanted, key=lambda each: timestamps.sort_key(each[1]))
