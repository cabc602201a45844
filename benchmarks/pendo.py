"""Read millions of grouped events: `python -m benchmarks.pendo`.

A local server answers the aggregation with one day of prepared rows after the other, so that its
own work is small. The tap runs as a program and writes to the null device. With `--peer`,
singer-io's `tap-pendo` reads the same rows: it asks once for each feature and waits two seconds
between requests, so that 200 features take it seven minutes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
FEATURES = 200
MADE_BEFORE = 10
ROOT = Path(__file__).parents[1]
PEER_HOME = ROOT / ".tools" / "bench-tap-pendo"
PEER_VERSION = "1.2.0"


def day_of_rows(rows: int) -> bytes:
    """Make a day of rows, with marks where :func:`_move` puts times.

    The text ``@@HH@@`` stands for an hour. A number that begins with ``999999HH`` is a time of its
    own within the hour's first 100 seconds.
    """
    made = []
    for number in range(rows):
        hour = number % 24
        made.append(
            {
                "visitorId": f"visitor-{number}@customer-{number % 977}.example",
                "accountId": f"customer-{number % 977}.example",
                "appId": -323232,
                "hour": f"@@{hour:02}@@",
                "week": "@@week@@",
                "month": "@@week@@",
                "quarter": "@@week@@",
                "firstTime": int(f"999999{hour:02}{number % 100_000:05}"),
                "lastTime": int(f"999999{hour:02}{number * 7 % 100_000:05}"),
                "featureId": f"feature-{number % FEATURES:03}",
                "numEvents": 1 + number % 7,
                "numMinutes": 1 + number % 3,
                "server": "app.customer.example",
                "remoteIp": f"10.0.{number % 250}.{number % 199}",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0",
                "parameters": {},
                "properties": {"plan": "team", "__sg__": {"visitor_agent_role": "admin"}},
                "country": "EE",
                "region": "37",
                "latitude": 59.437,
                "longitude": 24.7536,
                "tabId": f"tab{number:09}",
                "rageClickCount": 0,
                "deadClickCount": number % 2,
                "errorClickCount": 0,
                "uTurnCount": 0,
            }
        )
    return json.dumps({"results": made}, separators=(",", ":")).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, rows: int, days: int, start: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.days = days
        self.day = day_of_rows(rows)
        # The first days are made before anybody asks, so that a short run does not wait for them.
        firsts = [start + day * DAY_MS for day in range(min(days, MADE_BEFORE))]
        self.ready = {first: _move(self.day, first) for first in firsts}
        self.rows = [line.encode() for line in map(_compact, json.loads(self.day)["results"])]


def _compact(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":"))


def _move(text: bytes, first: int) -> bytes:
    """Put a day's times where a prepared text has none."""
    text = text.replace(b'"@@week@@"', str(first - first % DAY_MS).encode())
    for hour in range(24):
        begin = str(first + hour * HOUR_MS).encode()
        text = text.replace(b'"@@%02d@@"' % hour, begin).replace(b"999999%02d" % hour, begin[:8])
    return text


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer every list with nothing."""
        self._answer(b'{"custom":{}}' if "/metadata/" in self.path else b"[]")

    def do_POST(self) -> None:
        """Answer the aggregation with a day of rows, moved to the day that is asked for."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        source = body["request"]["pipeline"][0]["source"]
        if "features" in source:
            names = [{"id": f"feature-{n:03}", "lastUpdatedAt": 1} for n in range(FEATURES)]
            self._answer(json.dumps({"results": names}).encode())
            return
        series = source["timeSeries"]
        first = int(series["first"]) - int(series["first"]) % HOUR_MS
        if feature := source["featureEvents"].get("featureId"):
            rows = b",".join(self.server.rows[int(feature[-3:]) :: FEATURES])
            days = (_move(rows, first + day * DAY_MS) for day in range(self.server.days))
            self._answer(b'{"results":[' + b",".join(days) + b"]}")
        else:
            self._answer(self.server.ready.get(first) or _move(self.server.day, first))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Stay silent."""


def _serve(rows: int, days: int, start: int, pipe: Connection) -> None:
    server = _Server(rows, days, start)
    pipe.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def measure(days: int, rows: int, *, peer: bool) -> dict[str, dict[str, Any]]:
    """Read so many days of so many rows.

    Returns:
        By program: records, wall and CPU seconds, peak memory in MiB, CPU microseconds a record.
    """
    now = dt.datetime.now(dt.timezone.utc).replace(minute=0, second=0, microsecond=0)
    begin = now - dt.timedelta(days=days)
    start = begin.strftime("%Y-%m-%dT%H:%M:%SZ")
    ours, theirs = multiprocessing.Pipe()
    arguments = (rows, days, int(begin.timestamp() * 1000), theirs)
    process = multiprocessing.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    try:
        url = ours.recv()
        with tempfile.TemporaryDirectory() as folder:
            results = {"this tap": _this_tap(Path(folder), url, start)}
            if peer:
                results["singer-io"] = _singer_io(Path(folder), url, start)
    finally:
        process.terminate()
        process.join()
    for name, result in results.items():
        if result["records"] != days * rows:
            message = f"{name} wrote {result['records']} of {days * rows} records"
            raise RuntimeError(message)
    return results


def _this_tap(folder: Path, url: str, start: str) -> dict[str, Any]:
    config = {
        "pendo_integration_key": "benchmark",
        "pendo_api_url": url,
        "start_date": start,
        "pendo_reread_on_rule_change": False,
    }
    tap = [sys.executable, "-m", "tap_pendo_pipedrive"]
    return _run(folder, tap, config, {"pendo_feature_events"})


def _singer_io(folder: Path, url: str, start: str) -> dict[str, Any]:
    python = PEER_HOME / "bin" / "python"
    if not python.exists():
        uv = str(ROOT / ".tools" / "uv" / "bin" / "uv")
        peer = f"tap-pendo=={PEER_VERSION}"
        subprocess.run([uv, "venv", "--quiet", str(PEER_HOME)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "-p", str(python), peer], check=True)
    # Its oldest dependency looks for names that Python 3.10 has moved.
    launch = (
        "import collections, collections.abc as abc\n"
        "for name in abc.__all__: setattr(collections, name, getattr(abc, name))\n"
        "import tap_pendo, tap_pendo.streams as streams\n"
        f"streams.US_BASE_URL = {url!r}\n"
        "tap_pendo.main()"
    )
    config = {"x_pendo_integration_key": "benchmark", "period": "hourRange", "start_date": start}
    streams = {"features", "feature_events"}
    return _run(folder, [str(python), "-c", launch], config, streams)


def _run(folder: Path, tap: list[str], config: dict[str, Any], streams: set[str]) -> dict[str, Any]:
    (folder / "config.json").write_text(json.dumps(config))
    line = [*tap, "--config", str(folder / "config.json")]
    found = subprocess.run([*line, "--discover"], capture_output=True, check=True)
    catalog = json.loads(found.stdout)
    for entry in catalog["streams"]:
        for each in entry["metadata"]:
            if not each["breadcrumb"]:
                each["metadata"]["selected"] = entry["tap_stream_id"] in streams
    (folder / "catalog.json").write_text(json.dumps(catalog))
    begin = time.monotonic()
    # Written to a pipe and counted there, so that no program waits for a disk.
    command = [*line, "--catalog", str(folder / "catalog.json")]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        if child.stdout is None:
            raise RuntimeError
        heads = (line[:80] for line in child.stdout)
        records = sum(b'"RECORD"' in head and b'feature_events"' in head for head in heads)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError((folder / "log").read_text()[-2000:])
    wall = time.monotonic() - begin
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "records": records,
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "cpu_us_a_record": round(cpu / records * 1e6, 2),
        "records_a_second": round(records / wall),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pendo", description=__doc__)
    parser.add_argument("--days", type=int, default=9)
    parser.add_argument("--rows", type=int, default=33_333, help="rows a day")
    parser.add_argument("--peer", action="store_true", help="measure singer-io's tap too")
    options = parser.parse_args()
    for program, result in measure(options.days, options.rows, peer=options.peer).items():
        print(program)
        for name, value in result.items():
            print(f"{name:>20}  {value}")


if __name__ == "__main__":
    main()
