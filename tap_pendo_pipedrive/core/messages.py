"""Write Singer messages fast: the bytes of the SDK's own msgspec writer, a page at a time."""

from __future__ import annotations

import sys
import typing as t

from singer_sdk.contrib.msgspec import MsgSpecWriter, encoder

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    import msgspec
    from singer_sdk.singerlib.encoding.simple import Message


def _write(lines: bytes | bytearray | memoryview) -> None:
    # Unbuffered output (PYTHONUNBUFFERED) may take a part only, for example when a signal comes.
    rest = memoryview(lines)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    rest.release()
    sys.stdout.buffer.flush()


class MessageWriter(MsgSpecWriter):
    """Writes messages to standard output, looked up at each write: test runners replace it."""

    def write_message(self, message: Message) -> None:
        """Write any message."""
        _write(self.format_message(message))

    def write_records(
        self,
        stream: str,
        records: Iterable[dict[str, t.Any] | msgspec.Struct],
        *,
        version: int | None,
        time_extracted: dt.datetime,
    ) -> None:
        """Write a RECORD message for each record.

        Args:
            stream: The stream's name.
            records: The records as they shall be written.
            version: The table version of a full-table run; None for none.
            time_extracted: When their page was fetched.
        """
        head, tail = _frame(stream, version, time_extracted)
        lines = bytearray()
        for record in records:
            lines += head
            encoder.encode_into(record, lines, -1)
            lines += tail
        _write(lines)

    def write_rows(
        self,
        stream: str,
        rows: Sequence[msgspec.Raw],
        *,
        version: int | None,
        time_extracted: dt.datetime,
    ) -> None:
        """Write a RECORD message for each row that is JSON already, without line breaks."""
        if rows:
            head, tail = _frame(stream, version, time_extracted)
            lines = memoryview((tail + head).join((b"", *rows, b"")))
            _write(lines[len(tail) : len(lines) - len(head)])


def _frame(stream: str, version: int | None, time_extracted: dt.datetime) -> tuple[bytes, bytes]:
    """What stands before and behind a record in its message."""
    head = b'{"type":"RECORD","stream":' + encoder.encode(stream) + b',"record":'
    tail = b',"time_extracted":' + encoder.encode(time_extracted.isoformat()) + b"}\n"
    if version is not None:
        tail = b',"version":' + encoder.encode(version) + tail
    return head, tail
