"""The floor: fetch, decode, encode and write the same pages without any framework.

Usage: `python benchmarks/floor.py PLAN`, where PLAN is JSON. For Pipedrive it has `url`, `walks` (a
path, its parameters and its paging each), `width` (walks fetched at once) and `products` (whether
to ask for the line items of the deals, a hundred deals at a time). For Pendo it has `url`, `stream`
and `windows`, the sources of the aggregation to ask one after the other. It keeps no state and
checks nothing, so a tap that decodes each row cannot be faster by much.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

TOO_MANY = 429
DEALS_A_REQUEST = 100
_PRODUCTS = "/api/v2/deals/products"
_decode = msgspec.json.Decoder().decode
_encoder = msgspec.json.Encoder()
_lock = threading.Lock()
_local = threading.local()


def _fetch(url: str, params: dict[str, Any]) -> dict[str, Any]:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    while True:
        response = _local.session.get(url, params=params)
        if response.status_code == TOO_MANY:
            time.sleep(float(response.headers["x-ratelimit-reset"]))
            continue
        response.raise_for_status()
        page: dict[str, Any] = _decode(response.content)
        return page


def _write(stream: str, rows: list[dict[str, Any]]) -> None:
    head = b'{"type":"RECORD","stream":' + _encoder.encode(stream) + b',"record":'
    tail = b',"time_extracted":"2026-01-01T00:00:00+00:00"}\n'
    lines = bytearray()
    for row in rows:
        lines += head
        _encoder.encode_into(row, lines, -1)
        lines += tail
    with _lock:
        sys.stdout.buffer.write(lines)


def _walk(url: str, walk: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    params = {"limit": walk.get("limit", 500), **walk["params"]}
    while True:
        page = _fetch(url + walk["path"], params)
        rows = page["data"] or []
        _write(walk["path"], rows)
        yield rows
        extra = page.get("additional_data") or {}
        paging = extra.get("pagination") or {}
        if cursor := extra.get("next_cursor"):
            params["cursor"] = cursor
        elif paging.get("more_items_in_collection"):
            params["start"] = paging["next_start"]
        else:
            return


def _aggregate(url: str, stream: str, windows: list[dict[str, Any]]) -> None:
    with requests.Session() as session:
        for window in windows:
            body = {"request": {"pipeline": [{"source": window}]}}
            response = session.post(f"{url}/api/v1/aggregation", json=body)
            response.raise_for_status()
            _write(stream, _decode(response.content)["results"])
    sys.stdout.buffer.flush()


def main() -> None:
    """Follow the plan."""
    plan = json.loads(sys.argv[1])
    url = plan["url"]
    if windows := plan.get("windows"):
        _aggregate(url, plan["stream"], windows)
        return

    def follow(walk: dict[str, Any]) -> list[int]:
        return [row["id"] for rows in _walk(url, walk) for row in rows]

    def products(ids: list[int]) -> None:
        params = {"deal_ids": ",".join(map(str, ids)), "limit": 500}
        _write(_PRODUCTS, _fetch(url + _PRODUCTS, params)["data"])

    with ThreadPoolExecutor(plan["width"]) as pool:
        for ids in pool.map(follow, plan["walks"]):
            if plan["products"]:
                steps = range(0, len(ids), DEALS_A_REQUEST)
                list(pool.map(products, [ids[step : step + DEALS_A_REQUEST] for step in steps]))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
