"""Write Singer messages fast, with the values that the SDK's own writer would give."""

from __future__ import annotations

import datetime as dt
import sys
import typing as t

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message


def _encode_other(value: t.Any) -> str:  # noqa: ANN401 - whatever JSON has no type for
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


_ENCODER: t.Final = msgspec.json.Encoder(enc_hook=_encode_other, decimal_format="number")


class MessageWriter(GenericSingerWriter[bytes, Message]):
    """Writes messages to standard output as JSON lines."""

    def serialize_message(self, message: Message) -> bytes:
        """Write a message as one line of JSON."""
        return _ENCODER.encode(message.to_dict()) + b"\n"

    def write_message(self, message: Message) -> None:
        """Write a message to standard output, looked up now: test runners replace it."""
        sys.stdout.buffer.write(self.serialize_message(message))
        sys.stdout.buffer.flush()
