"""When a request may be sent: concurrency, rate windows, and pauses after a 429."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Length of the rolling rate window in seconds (Pipedrive: "Rate limiting").
WINDOW: t.Final = 2.0
#: Requests travel for different times, so the server may see them closer together than they left.
MARGIN: t.Final = 0.05


class Governor:
    """Lets requests of one service through, as many as its limits allow and no more.

    It keeps the start times of the last requests, so that no rolling window ever holds more of
    them than the server's limit, which it learns from the answers. A pause holds back every
    thread. Libraries for rate limits (``pyrate-limiter`` among them) take fixed rates and know
    neither a limit that is learned nor a pause for all, so this is our own.

    Args:
        concurrency: Requests in flight at most.
        clock: Monotonic seconds.
    """

    def __init__(self, concurrency: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.concurrency = concurrency
        self.limit: int | None = None
        self._clock = clock
        self._changed = threading.Condition()
        self._in_flight = 0
        self._open_at = 0.0
        self._starts: collections.deque[float] = collections.deque()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Wait until a request may be sent, and hold its place while it is in flight."""
        with self._changed:
            while (wait := self._wait()) is None or wait > 0:
                self._changed.wait(wait)
            self._in_flight += 1
            self._starts.append(self._clock())
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()  # One may go; those who wait for the window wake up alone.

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        with self._changed:
            self._open_at = max(self._open_at, self._clock() + seconds)

    def learn(self, limit: int | None, remaining: int | None, reset: float | None) -> None:
        """Take in what an answer says about the rate window.

        Args:
            limit: Requests allowed in each window.
            remaining: Requests left in the current one.
            reset: Seconds until it ends.
        """
        with self._changed:
            if limit is not None and limit > 0:
                self.limit = limit
            if self.limit is None or remaining is None or reset is None:
                return
            # Others may use the same token: with nothing left, the window is closed for us too.
            own = self._recent(self._clock())
            if remaining <= 0 and own < self.limit - self._in_flight:
                self._open_at = max(self._open_at, self._clock() + min(reset, WINDOW))

    def _recent(self, now: float) -> int:
        while self._starts and self._starts[0] + WINDOW + MARGIN <= now:
            self._starts.popleft()
        return len(self._starts)

    def _wait(self) -> float | None:
        """Seconds until a request may be sent; 0 for now, None for when another one ends."""
        if self._in_flight >= self.concurrency:
            return None
        now = self._clock()
        wait = max(0.0, self._open_at - now)
        if self.limit is not None and self._recent(now) >= self.limit:
            wait = max(wait, self._starts[0] + WINDOW + MARGIN - now)
        return wait
