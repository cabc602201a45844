"""Where an incremental stream starts, and how far its bookmark may move."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import logging
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.failures import StreamFailed

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

State = dict[str, t.Any]

#: A bookmark never runs further ahead of this machine's clock: a record with a date in the far
#: future would hide every later change.
CLOCK_TOLERANCE: t.Final = dt.timedelta(minutes=10)

#: The SDK's place for progress that counts only when the stream is complete.
PROGRESS: t.Final = "progress_markers"
STARTED_AT: t.Final = "starting_replication_value"
#: In the state while a first, unfiltered reading is not complete.
FULL_READ: t.Final = "full_read_incomplete"
#: The JSON schemas of columns that a stream's catalog does not tell of, by name.
LEARNED: t.Final = "columns_beyond_catalog"


def is_readable(state: t.Any) -> bool:  # noqa: ANN401 - whatever stands in a state file
    """Whether a stream's part of the state has the form that the SDK works with."""
    if not isinstance(state, dict):
        return False
    partitions, columns = state.get("partitions", []), state.get(LEARNED, {})
    return (
        isinstance(partitions, list)
        and _are_columns(columns)
        and all(
            isinstance(each, dict) and isinstance(each.get("context"), dict) for each in partitions
        )
    )


def _are_columns(columns: t.Any) -> bool:  # noqa: ANN401 - whatever stands in a state file
    return isinstance(columns, dict) and all(isinstance(each, dict) for each in columns.values())


@dataclasses.dataclass(frozen=True)
class Span:
    """Which rows of a stream are wanted.

    Attributes:
        start: Rows from this time on; None for all.
        end: Rows before this time; None for no end.
        with_nulls: Rows without a replication key are still owed from an unfiltered reading that
            did not reach its end.
    """

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    with_nulls: bool = False

    @classmethod
    def of(
        cls,
        stream: str,
        key: str,
        state: Mapping[str, t.Any],
        config: Mapping[str, t.Any],
        lookback: dt.timedelta = dt.timedelta(),
    ) -> Span:
        """Derive the span from the bookmark, so much before it, and the settings.

        Raises:
            StreamFailed: The state holds something else than a time.
        """
        bookmark = state.get("replication_key_value")
        bookmark = bookmark if state.get("replication_key") == key else None
        try:
            moments = [timestamps.parse(bookmark) - lookback] if bookmark else []
        except (TypeError, ValueError, AttributeError):
            raise StreamFailed(
                f"{stream}: the state holds {bookmark!r} as replication_key_value, which is not a"
                " time. Correct the state, or remove the stream's bookmark to read it again."
            ) from None
        if start_date := config.get("start_date"):
            moments.append(timestamps.parse(start_date))
        end_date = config.get("end_date")
        return cls(
            start=max(moments, default=None),
            end=timestamps.parse(end_date) if end_date else None,
            with_nulls=bool(bookmark and state.get(FULL_READ)),
        )

    def selector(self) -> Callable[[str | None], bool] | None:
        """Build the test whether a replication key is within the span, to the second.

        Returns:
            None if all are.
        """
        if self.start is None and self.end is None:
            return None
        low = timestamps.whole_seconds(self.start).rstrip("Z") if self.start else ""
        high = timestamps.ceil_seconds(self.end).rstrip("Z") if self.end else "~"
        # A record without the key is always kept: nothing says that it is old.
        return lambda value: value is None or low <= value[:19] < high


class Bookmark:
    """Moves a partition's bookmark behind the records that were written.

    Args:
        stream: The stream's name, for the log.
        state: The partition's state, changed in place.
        key: The replication key.
        in_order: Records come in ascending order of the key. If not, or if they do not after
            all, the bookmark counts only when the stream is complete.
    """

    def __init__(self, stream: str, state: State, key: str, *, in_order: bool) -> None:
        self._logger = logging.getLogger("tap-pendo-pipedrive").getChild(stream)
        self._state = state
        self.key = key
        self._in_order = in_order
        self._highest = ""

    def advance(self, written: Iterable[t.Any]) -> None:
        """Take in the keys of records that were written. Those without one move nothing."""
        found = [value for value in written if value.__class__ is str]
        latest = timestamps.whole_seconds(dt.datetime.now(timestamps.UTC) + CLOCK_TOLERANCE)
        values = [value for value in found if value <= latest]
        if not values:
            return
        if self._in_order and not _ascending([self._highest or values[0], *values]):
            self._distrust_order()
        last = values[-1] if self._in_order else max(values, key=timestamps.sort_key)
        highest = max(self._highest, last, key=timestamps.sort_key)
        if highest == self._highest:
            return
        self._highest = highest
        state = self._state
        if not self._in_order:
            state = state.setdefault(PROGRESS, {"Note": "Counts when the stream is complete."})
        state["replication_key"] = self.key
        state["replication_key_value"] = highest

    def _distrust_order(self) -> None:
        """Set the bookmark back until the end, since rows do not come in order."""
        self._logger.warning(
            "The API does not sort by %s as asked; the bookmark moves at the end only.", self.key
        )
        self._in_order = False
        if self._highest:
            self._state[PROGRESS] = {
                "Note": "Counts when the stream is complete.",
                "replication_key": self.key,
                "replication_key_value": self._highest,
            }
            self._state.pop("replication_key_value", None)
            if before := self._state.get(STARTED_AT):
                self._state["replication_key_value"] = before


def _ascending(values: list[str]) -> bool:
    if len({len(value) for value in values}) == 1 and values == sorted(values):
        return True
    return all(
        (len(first) == len(second) and first <= second)
        or timestamps.sort_key(first) <= timestamps.sort_key(second)
        for first, second in itertools.pairwise(values)
    )
