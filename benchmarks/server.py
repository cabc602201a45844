"""A fast stand-in for Pipedrive, run as a process of its own: `python -m benchmarks.server`.

It prints a line of JSON with its address and the time of the first row, and ends with its standard
input. `GET /_bench/stats` tells what it was asked for, `GET /_bench/reset` forgets that.
"""

from __future__ import annotations

import argparse
import asyncio
import calendar
import collections
import functools
import json
import math
import re
import socket
import sys
import time
from typing import Any, cast
from urllib.parse import parse_qsl

from benchmarks import data as rows

WINDOW = 2.0
TOO_MANY = b'{"success":false,"error":"request over limit","data":null,"additional_data":null}'
NOT_FOUND = b'{"success":false,"error":"not found","data":null,"additional_data":null}'
_ITEMS = re.compile(r"/v1/deals/(\d+)/products")
_REASONS = {200: b"OK", 404: b"Not Found", 429: b"Too Many Requests"}


def _seconds(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


class Pipedrive:
    """Answers and counts.

    Args:
        counts: Rows by table; other tables have `default` rows.
        default: Rows of the tables that `counts` does not name.
        burst: Requests that any two seconds may hold; 0 for no limit.
    """

    def __init__(self, counts: dict[str, int], default: int, burst: int) -> None:
        self.data = rows.build()
        self.counts = counts
        self.default = default
        self.burst = burst
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.requests = self.refused = self.tokens = self.rows = self.bytes = 0
        self.paths: collections.Counter[str] = collections.Counter()
        self.times: list[float] = []
        self._recent: collections.deque[float] = collections.deque()

    def stats(self) -> bytes:
        """What was counted, as JSON."""
        return json.dumps(
            {
                "requests": self.requests,
                "refused": self.refused,
                "tokens": self.tokens,
                "rows": self.rows,
                "bytes": self.bytes,
                "paths": self.paths,
                "times": self.times,
            }
        ).encode()

    def admit(self) -> tuple[bool, bytes]:
        """Count a request in, and tell whether the rate window has room for it."""
        now = time.monotonic()
        self.requests += 1
        if not self.burst:
            self.times.append(now)
            return True, b""
        while self._recent and self._recent[0] <= now - WINDOW:
            self._recent.popleft()
        if admitted := len(self._recent) < self.burst:
            self._recent.append(now)
            self.times.append(now)
        else:
            self.refused += 1
        reset = max(1, math.ceil(self._recent[0] + WINDOW - now))
        left = self.burst - len(self._recent)
        return admitted, (
            b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n"
            % (self.burst, left, reset)
        )

    def answer(self, target: str) -> tuple[int, bytes]:
        """Answer a request that was admitted."""
        path, _, query = target.partition("?")
        params = dict(parse_qsl(query))
        if body := self.data.fields.get(path):
            cost = 10 if path.startswith("/api/v2") else 20
            return self._count(path, cost, 0, _envelope(body, b'{"next_cursor":null}'))
        if endpoint := rows.ENDPOINTS.get(path):
            return self._list(path, endpoint, params)
        if path == rows.BULK_PRODUCTS:
            return self._products(path, params)
        if match := _ITEMS.fullmatch(path):
            count = self._size("deals")
            body = self.data.line_items([int(match[1])], count)
            more = b'{"pagination":{"start":0,"limit":100,"more_items_in_collection":false}}'
            path = "/v1/deals/{id}/products"
            cost, items = rows.DEAL_PRODUCTS_COST, rows.LINE_ITEMS_A_DEAL
            return self._count(path, cost, items, _envelope(body, more))
        return 404, NOT_FOUND

    def _size(self, table: str) -> int:
        return self.counts.get(table, self.default)

    def _count(self, path: str, cost: int, number: int, body: bytes) -> tuple[int, bytes]:
        self.paths[path] += 1
        self.tokens += cost
        self.rows += number
        self.bytes += len(body)
        return 200, body

    def _list(
        self, path: str, endpoint: rows.Endpoint, params: dict[str, str]
    ) -> tuple[int, bytes]:
        count = 0 if endpoint.empty else self._size(endpoint.table)
        low, high = 0, count
        if since := params.get("updated_since"):
            low = rows.first_from(_seconds(since), count) if count else 0
        if until := params.get("updated_until"):
            high = max(low, rows.first_from(_seconds(until), count) if count else 0)
        number = high - low
        limit = min(int(params.get("limit", "100")), endpoint.limit) if endpoint.paging else number
        start = int(params.get("cursor" if endpoint.paging == "cursor" else "start", "0"))
        after = min(start + limit, number)
        if "desc" in (params.get("sort_direction") or params.get("sort", "")).lower():
            indices = range(high - 1 - start, high - 1 - after, -1)
        else:
            indices = range(low + start, low + after)
        page = self.data.page(endpoint.table, endpoint.style, indices, count)
        return self._count(
            path,
            endpoint.cost,
            len(indices),
            _envelope(page, _more(endpoint.paging, start, limit, after if after < number else 0)),
        )

    def _products(self, path: str, params: dict[str, str]) -> tuple[int, bytes]:
        ids = [int(each) for each in params["deal_ids"].split(",")]
        body = self.data.line_items(ids, self._size("deals"))
        number = len(ids) * rows.LINE_ITEMS_A_DEAL
        return self._count(path, rows.BULK_COST, number, _envelope(body, b'{"next_cursor":null}'))


def _envelope(page: bytes, more: bytes) -> bytes:
    return b'{"success":true,"data":%b,"additional_data":%b}' % (page, more)


def _more(paging: str, start: int, limit: int, following: int) -> bytes:
    if paging == "cursor":
        return b'{"next_cursor":"%d"}' % following if following else b'{"next_cursor":null}'
    if not paging:
        return b"null"
    after = b',"next_start":%d' % following if following else b""
    flag = b"true" if following else b"false"
    return b'{"pagination":{"start":%d,"limit":%d,"more_items_in_collection":%b%b}}' % (
        start,
        limit,
        flag,
        after,
    )


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, pipedrive: Pipedrive, latency: float) -> None:
        self._pipedrive = pipedrive
        self._latency = latency
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare for large answers."""
        self._transport = cast("asyncio.Transport", transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Take in requests; none has a body."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._request(head.split(b" ", 2)[1].decode())

    def _request(self, target: str) -> None:
        pipedrive = self._pipedrive
        if target == "/_bench/stats":
            self._send(200, b"", pipedrive.stats())
        elif target == "/_bench/reset":
            pipedrive.reset()
            self._send(200, b"", b"{}")
        else:
            admitted, headers = pipedrive.admit()
            respond = functools.partial(self._respond, target, admitted, headers)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, respond)
            else:
                respond()

    def _respond(self, target: str, admitted: bool, headers: bytes) -> None:  # noqa: FBT001
        status, body = self._pipedrive.answer(target) if admitted else (429, TOO_MANY)
        self._send(status, headers, body)

    def _send(self, status: int, headers: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
        self._transport.writelines((head % (status, _REASONS[status], len(body), headers), body))


async def serve(options: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    pipedrive = Pipedrive(json.loads(options.counts), options.records, options.burst)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(pipedrive, options.latency), "127.0.0.1")
    address: Any = server.sockets[0].getsockname()
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(rows.START - rows.DAY))
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(rows.END))
    hello = {"url": f"http://127.0.0.1:{address[1]}", "start": start, "end": end}
    print(json.dumps(hello), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--counts", default="{}", help="rows by table, as JSON")
    parser.add_argument("--records", type=int, default=1000, help="rows of the other tables")
    parser.add_argument("--latency", type=float, default=0, help="seconds added to each answer")
    parser.add_argument("--burst", type=int, default=0, help="requests that two seconds may hold")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
