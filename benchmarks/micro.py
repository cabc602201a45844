"""Microseconds a record from a parsed page to bytes: `python -m benchmarks.micro`.

Shape, write and bookmark of the 48-attribute deal by this tap, next to the SDK's default path for
the same records (conformance, deselection, its default writer, state). Both write to the null
device; the best of some repetitions counts.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import datetime as dt
import io
import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk import Stream, Tap
from singer_sdk.contrib.msgspec import MsgSpecWriter

from benchmarks import data as bench_data
from benchmarks.contestants import World, serving
from tap_pendo_pipedrive.core.stream import Batch, Page
from tap_pendo_pipedrive.tap import TapPendoPipedrive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.streams.pipedrive.stream import PipedriveStream

_SPLIT = msgspec.json.Decoder(list[msgspec.Raw]).decode
ROWS = 500
NAME = "pipedrive_deals"


class _Plain(Stream):
    """The same records through the SDK as it comes."""

    name = NAME
    primary_keys = ("id",)
    replication_key = "update_time"
    rows: tuple[dict[str, Any], ...] = ()

    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Yield the page's rows."""
        del context
        return iter(self.rows)


class _PlainTap(Tap):
    """A tap with that stream."""

    name = "tap-plain"
    schema: dict[str, Any]

    def discover_streams(self) -> list[Stream]:
        """One stream."""
        return [_Plain(self, schema=self.schema)]


class _FastPlainTap(_PlainTap):
    """The SDK's own faster writer."""

    message_writer_class = MsgSpecWriter


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Write messages to the null device."""
    with (
        Path("/dev/null").open("wb") as nothing,
        contextlib.redirect_stdout(io.TextIOWrapper(nothing, write_through=True)),
    ):
        yield


def _best(run: Callable[[list[dict[str, Any]]], None], body: bytes, repeat: int) -> float:
    times = []
    for _ in range(repeat):
        rows = _decode(body)
        start = time.process_time()
        run(rows)
        times.append(time.process_time() - start)
    return min(times) / ROWS * 1e6


def _decode(body: bytes) -> list[dict[str, Any]]:
    return Page(_SPLIT(body), len(body)).decode()


def _as_written(stream: PipedriveStream, body: bytes) -> None:
    read = stream._read_page  # noqa: SLF001
    batch = read(Page(_SPLIT(body), len(body), one_line=True)) if read is not None else None
    if batch is None:
        message = "The rows are not written as they came: the benchmark's rows or schema changed."
        raise RuntimeError(message)
    stream._sync_batch(batch, {"is_archived": False})  # noqa: SLF001


def _ours(stream: PipedriveStream, rows: list[dict[str, Any]]) -> None:
    steps = [step for step in (stream.prepare, stream._shaper) if step is not None]  # noqa: SLF001
    for step in steps:
        rows = [step(row) for row in rows]
    stream._watch.widen(rows)  # noqa: SLF001
    now = dt.datetime.now(dt.timezone.utc)
    stream._sync_batch(Batch(rows, now), {"is_archived": False})  # noqa: SLF001


def _sdks(tap: Tap) -> Callable[[list[dict[str, Any]]], None]:
    stream = tap.streams[NAME]

    def run(rows: list[dict[str, Any]]) -> None:
        _Plain.rows = tuple(rows)
        for _ in stream._sync_records(None):  # noqa: SLF001
            pass

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("--repeat", type=int, default=30, help="the best of so many pages counts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    body = bench_data.build().page("deals", bench_data.V2, range(ROWS), ROWS)
    with serving(World()) as server:
        tap = TapPendoPipedrive(
            config={"pipedrive_api_token": "benchmark", "pipedrive_api_url": server.url}
        )
        deals: Any = tap.streams[NAME]
    schema = copy.deepcopy(deals.schema)
    _PlainTap.schema = schema
    with _quiet():
        for stream in tap.streams.values():
            if stream is not deals:
                stream.selected = False
        deals.get_context_state({"is_archived": False})
        deals._has_schema_message = True  # noqa: SLF001
        shaper = deals._shaper  # noqa: SLF001
        figures = {
            "decode a page": _best(_decode_again(body), body, options.repeat),
            "this tap: shape": _best(
                lambda rows: collections.deque(map(shaper, rows), 0).clear(), body, options.repeat
            ),
            "this tap: shape, write, bookmark": _best(
                lambda rows: _ours(deals, rows), body, options.repeat
            ),
            "this tap: rows as they came": _best(
                lambda _rows: _as_written(deals, body), body, options.repeat
            ),
            "the SDK, default": _best(_sdks(_PlainTap(config={})), body, options.repeat // 3),
            "the SDK, msgspec writer": _best(
                _sdks(_FastPlainTap(config={})), body, options.repeat // 3
            ),
        }
    if options.json:
        print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))
        return
    encoder = msgspec.json.Encoder()
    rows = _decode(body)
    print(f"{ROWS} deals, {len(rows[0])} attributes, {len(encoder.encode(rows)) // ROWS} bytes")
    for name, value in figures.items():
        print(f"{name:<36}{value:>8.1f} us a record")
    sys.stdout.flush()


def _decode_again(body: bytes) -> Callable[[list[dict[str, Any]]], None]:
    def run(rows: list[dict[str, Any]]) -> None:
        del rows
        _decode(body)

    return run


if __name__ == "__main__":
    main()
