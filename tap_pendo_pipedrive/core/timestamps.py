"""Points in time as the tap reads, compares and writes them: RFC 3339 in UTC."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools

UTC = dt.timezone.utc
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - its text shall have no offset


def parse(value: str) -> dt.datetime:
    """Read a date or date-time in any ISO 8601 form that settings and states hold.

    Args:
        value: For example ``2026-01-31``, ``2026-01-31T10:00:00Z`` or with an offset; without
            a zone it is UTC.

    Returns:
        An aware time in UTC.

    Raises:
        ValueError: The text is not a date-time.
    """
    # Python 3.10 reads neither "Z" nor fractions of other lengths than three and six.
    text = value.strip().replace(" ", "T", 1)
    if text[-1:] in {"Z", "z"}:
        text = f"{text[:-1]}+00:00"
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def whole_seconds(moment: dt.datetime) -> str:
    """Write a time as ``YYYY-MM-DDTHH:MM:SSZ``, dropping fractions of a second."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def ceil_seconds(moment: dt.datetime) -> str:
    """Write a time as ``YYYY-MM-DDTHH:MM:SSZ``, rounding a fraction of a second up."""
    if moment.microsecond:
        with contextlib.suppress(OverflowError):  # The last second of all stays as it is.
            moment += dt.timedelta(seconds=1)
    return whole_seconds(moment)


def from_epoch_ms(milliseconds: float) -> str | None:
    """Write epoch milliseconds as RFC 3339; 0 means "never set" and becomes None.

    Returns:
        ``YYYY-MM-DDTHH:MM:SSZ``, with ``.mmm`` before the Z where there are milliseconds; None
        also for times beyond the year 9999.
    """
    if not milliseconds:
        return None
    minutes, rest = divmod(int(milliseconds), 60_000)
    try:
        return _minute(minutes) + _rests_of_minutes()[rest]
    except OverflowError:
        return None


@functools.cache
def _rests_of_minutes() -> list[str]:
    """Write each millisecond of a minute: to look one up takes a third of writing it."""
    seconds = [f"{second:02}" for second in range(60)]
    fractions = ["Z", *(f".{milliseconds:03}Z" for milliseconds in range(1, 1000))]
    return [second + fraction for second in seconds for fraction in fractions]


@functools.lru_cache(maxsize=1 << 12)
def _minute(minutes: int) -> str:
    """Write minutes since 1970 as ``YYYY-MM-DDTHH:MM:``. Times of events share a few."""
    return (_EPOCH + dt.timedelta(minutes=minutes)).isoformat()[:-2]


def from_v1(value: str) -> str | None:
    """Write Pipedrive's ``YYYY-MM-DD HH:MM:SS`` (UTC) as RFC 3339.

    Returns:
        None for an empty text and ``0000-00-00 00:00:00``; other forms as they are.
    """
    if value[10:11] == " ":
        return None if value.startswith("0000") else f"{value[:10]}T{value[11:]}Z"
    return None if not value or value.startswith("0000") else value


def sort_key(value: str) -> str:
    """Make RFC 3339 texts in UTC comparable, with and without fractions of a second."""
    return value.rstrip("Z").rstrip("0").rstrip(".") if "." in value else value.rstrip("Z")
