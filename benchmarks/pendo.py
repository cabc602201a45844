"""Read millions of grouped events: `python -m benchmarks.pendo`.

A local server answers the aggregation with one day of prepared rows after the other, so that its
own work is small. The tap runs as a program whose output is kept in memory and counted afterwards;
so does the floor, which fetches, decodes, encodes and writes the same answers and does nothing
else. With `--peer`, singer-io's `tap-pendo` reads the same rows: it asks once for each feature and
waits two seconds between requests, so that 200 features take it seven minutes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import re
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import programs

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
FEATURES = 200
PEER_HOME = programs.ROOT / ".tools" / "bench-tap-pendo"
PEER_VERSION = "1.2.0"
STREAM = "feature_events"
#: What stands in a day of rows for a time: the whole of it, or its first digits.
MARKS = re.compile(rb'("@@\w+@@"|999999\d\d)')
#: Bytes of a record, at most about, and seconds that a program may take.
RECORD_BYTES = 1000
TIMEOUT = 1200.0


def day_of_rows(rows: int) -> bytes:
    """Make a day of rows, with marks where :func:`moved` puts times.

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


def moved(parts: list[bytes], first: int) -> bytes:
    """Put a day's times where a prepared text, split at its marks, has none."""
    times = {b'"@@week@@"': str(first - first % DAY_MS).encode()}
    for hour in range(24):
        begin = str(first + hour * HOUR_MS).encode()
        times[b'"@@%02d@@"' % hour] = begin
        times[b"999999%02d" % hour] = begin[:8]
    day = parts.copy()
    day[1::2] = map(times.__getitem__, parts[1::2])
    return b"".join(day)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, rows: int, days: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.days = days
        day = day_of_rows(rows)
        self.parts = MARKS.split(day)
        self.rows = [_compact(row).encode() for row in json.loads(day)["results"]]


def _compact(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":"))


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
            parts = MARKS.split(b",".join(self.server.rows[int(feature[-3:]) :: FEATURES]))
            days = (moved(parts, first + day * DAY_MS) for day in range(self.server.days))
            self._answer(b'{"results":[' + b",".join(days) + b"]}")
        else:
            self._answer(moved(self.server.parts, first))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Stay silent."""


def _serve(rows: int, days: int, pipe: Connection) -> None:
    server = _Server(rows, days)
    pipe.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def measure(days: int, rows: int, *, peer: bool) -> dict[str, programs.Run]:
    """Read so many days of so many rows.

    Returns:
        What it took, by program.
    """
    now = dt.datetime.now(dt.timezone.utc).replace(minute=0, second=0, microsecond=0)
    start = now - dt.timedelta(days=days)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(rows, days, theirs), daemon=True)
    process.start()
    runs = {}
    try:
        url = ours.recv()
        with tempfile.TemporaryDirectory() as name:
            commands = {
                "this tap": _this_tap(Path(name), url, start),
                "floor": _floor(url, start, days),
            }
            if peer:
                commands["singer-io"] = _singer_io(Path(name), url, start)
            for program, command in commands.items():
                runs[program] = programs.run(
                    program,
                    command,
                    timeout=TIMEOUT,
                    output=days * rows * RECORD_BYTES,
                    stream=STREAM,
                )
    finally:
        process.terminate()
        process.join()
    for program, run in runs.items():
        if run.records != days * rows:
            message = f"{program} wrote {run.records} of {days * rows} records"
            raise programs.RunFailed(message)
    return runs


def _written(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _this_tap(folder: Path, url: str, start: dt.datetime) -> list[str]:
    config = {
        "pendo_integration_key": "benchmark",
        "pendo_api_url": url,
        "start_date": _written(start),
        "pendo_reread_on_rule_change": False,
    }
    tap = [sys.executable, "-m", "tap_pendo_pipedrive"]
    return _with_catalog(folder / "ours", tap, config, {f"pendo_{STREAM}"})


def _floor(url: str, start: dt.datetime, days: int) -> list[str]:
    firsts = [start + dt.timedelta(days=day) for day in range(days)]
    windows = [
        {
            "featureEvents": {},
            "timeSeries": {"first": int(first.timestamp() * 1000), "count": 24},
        }
        for first in firsts
    ]
    plan = {"url": url, "stream": STREAM, "windows": windows}
    return [sys.executable, str(Path(__file__).with_name("floor.py")), json.dumps(plan)]


def _singer_io(folder: Path, url: str, start: dt.datetime) -> list[str]:
    if problem := programs.install(PEER_HOME, f"tap-pendo=={PEER_VERSION}"):
        raise programs.RunFailed(problem)
    # Its oldest dependency looks for names that Python 3.10 has moved.
    launch = (
        "import collections, collections.abc as abc\n"
        "for name in abc.__all__: setattr(collections, name, getattr(abc, name))\n"
        "import tap_pendo, tap_pendo.streams as streams\n"
        f"streams.US_BASE_URL = {url!r}\n"
        "tap_pendo.main()"
    )
    config = {
        "x_pendo_integration_key": "benchmark",
        "period": "hourRange",
        "start_date": _written(start),
    }
    tap = [str(PEER_HOME / "bin" / "python"), "-c", launch]
    return _with_catalog(folder / "theirs", tap, config, {"features", STREAM})


def _with_catalog(
    folder: Path, tap: list[str], config: dict[str, Any], streams: set[str]
) -> list[str]:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    line = [*tap, "--config", str(folder / "config.json")]
    (folder / "catalog.json").write_text(json.dumps(programs.catalog_of(line, streams)))
    return [*line, "--catalog", str(folder / "catalog.json")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pendo", description=__doc__)
    parser.add_argument("--days", type=int, default=9)
    parser.add_argument("--rows", type=int, default=33_333, help="rows a day")
    parser.add_argument("--peer", action="store_true", help="measure singer-io's tap too")
    options = parser.parse_args()
    records = options.days * options.rows
    print(f"{records:,} rows in {options.days} days; compare ratios, not absolute figures")
    print(f"{'':<12}{'wall s':>9}{'rec/s':>9}{'CPU s':>8}{'us/rec':>8}{'MiB':>6}")
    for program, run in measure(options.days, options.rows, peer=options.peer).items():
        print(
            f"{program:<12}{run.wall:>9.2f}{records / run.wall:>9,.0f}{run.cpu:>8.2f}"
            f"{run.cpu / records * 1e6:>8.2f}{run.peak_mib:>6.0f}"
        )


if __name__ == "__main__":
    main()
