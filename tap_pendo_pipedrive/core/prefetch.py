"""Pages fetched ahead by worker threads, bounded in number and bytes, handed out in order."""

from __future__ import annotations

import collections
import functools
import itertools
import threading
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Seconds between looks for an interrupt while waiting for a page.
POLL: t.Final = 0.2


class Sized(t.Protocol):
    """Something with a size in bytes."""

    @property
    def size(self) -> int:
        """Bytes that it holds in memory."""


P = t.TypeVar("P", bound=Sized)


class Allowance:
    """A number of bytes that all prefetchers of a run share.

    A prefetcher with nothing in its queue may always add one page, so that the one whose pages
    are being written never waits for the others.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self.lock = threading.Lock()
        #: Set by a signal handler: what the consumer raises before its next page.
        self.interrupt: BaseException | None = None
        # Those who wait for room, the first one first. To wake them all costs more than a page.
        self._waiting: dict[threading.Condition, None] = {}

    def take(self, size: int) -> None:
        """Count bytes in. The lock must be held, as for the others."""
        self.used += size

    def give_back(self, size: int) -> None:
        """Count bytes out, and let the first one who waits for room look again."""
        self.used -= size
        for condition in self._waiting:
            condition.notify()
            break

    def wait(self, condition: threading.Condition, has_room: Callable[[], bool]) -> None:
        """Wait until there is room."""
        while not has_room():
            self._waiting[condition] = None
            condition.wait()
            self._waiting.pop(condition, None)


class Prefetcher(t.Generic[P]):
    """Iterates over pages in a thread of its own, ahead of whoever consumes them.

    Args:
        pages: Where pages come from; its errors reach the consumer after the pages before them.
        allowance: Bytes that may wait to be consumed.
        depth: Pages that may wait to be consumed.
    """

    def __init__(self, pages: Iterable[P], allowance: Allowance, depth: int = 16) -> None:
        self._pages = pages
        self._allowance = allowance
        self._depth = depth
        self._queue: collections.deque[P] = collections.deque()
        self._has_page = threading.Condition(allowance.lock)
        self._has_room = threading.Condition(allowance.lock)
        self._error: BaseException | None = None
        self._done = False
        self._closed = False
        # A daemon: a thread that waits for an answer must not hold back the end of the process.
        threading.Thread(target=self._run, daemon=True).start()

    def __iter__(self) -> Iterator[P]:
        """Hand out the pages in order."""
        allowance = self._allowance
        try:
            while True:
                with allowance.lock:
                    while not (self._queue or self._done):
                        self._has_page.wait(POLL)
                        self._check_interrupt()
                    self._check_interrupt()
                    if not self._queue:
                        break
                    page = self._queue.popleft()
                    allowance.give_back(page.size)
                    self._has_room.notify()
                yield page
        finally:
            self.close()
        if self._error is not None:
            raise self._error

    def _check_interrupt(self) -> None:
        if self._allowance.interrupt is not None:
            raise self._allowance.interrupt

    def close(self) -> None:
        """Stop fetching and forget what waits."""
        with self._allowance.lock:
            self._closed = True
            while self._queue:
                self._allowance.give_back(self._queue.popleft().size)
            self._has_room.notify()

    def _fits(self, page: P) -> bool:
        if self._closed or not self._queue:
            return True
        fits = self._allowance.used + page.size <= self._allowance.size
        return fits and len(self._queue) < self._depth

    def _run(self) -> None:
        allowance = self._allowance
        try:
            for page in self._pages:
                with allowance.lock:
                    allowance.wait(self._has_room, functools.partial(self._fits, page))
                    if self._closed:
                        break
                    self._queue.append(page)
                    allowance.take(page.size)
                    self._has_page.notify()
        except BaseException as error:  # noqa: BLE001 - raised again where the pages are consumed
            self._error = error
        finally:
            with allowance.lock:
                self._done = True
                self._has_page.notify()


def in_turn(walks: Iterable[Iterable[P]], allowance: Allowance, width: int) -> Iterator[P]:
    """Fetch several lists of pages at once and hand their pages out one list after the other.

    Args:
        walks: The lists; each is asked for when its turn to be fetched comes.
        allowance: Bytes that may wait to be consumed.
        width: Lists fetched at once at most.
    """
    pending = iter(walks)
    ahead: collections.deque[Prefetcher[P]] = collections.deque()
    try:
        while True:
            missing = width - len(ahead)
            ahead.extend(Prefetcher(walk, allowance) for walk in itertools.islice(pending, missing))
            if not ahead:
                return
            yield from ahead[0]
            ahead.popleft()
    finally:
        for prefetcher in ahead:
            prefetcher.close()
