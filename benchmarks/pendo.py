"""Read millions of grouped events: `python -m benchmarks.pendo`.

A local server answers the aggregation with one day of prepared rows after the other, so that its
own work is small. The tap runs as a program and writes to the null device.
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


def day_of_rows(rows: int) -> bytes:
    """Make a day of rows; the text ``@@@@@@@@@@@HH`` stands where an hour's milliseconds go."""
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
                "firstTime": f"@@{hour:02}@@",
                "lastTime": f"@@{hour:02}@@",
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

    def __init__(self, rows: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.day = day_of_rows(rows)
        self.requests = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer every list with nothing."""
        self._answer(b"{}" if "/metadata/" in self.path else b"[]")

    def do_POST(self) -> None:
        """Answer the aggregation with a day of rows, moved to the day that is asked for."""
        self.server.requests += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        series = body["request"]["pipeline"][0]["source"]["timeSeries"]
        first = series["first"] - series["first"] % HOUR_MS
        answer = self.server.day.replace(b'"@@week@@"', str(first - first % DAY_MS).encode())
        for hour in range(24):
            answer = answer.replace(b'"@@%02d@@"' % hour, str(first + hour * HOUR_MS).encode())
        self._answer(answer)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Stay silent."""


def _serve(rows: int, pipe: Connection) -> None:
    server = _Server(rows)
    pipe.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def measure(days: int, rows: int) -> dict[str, Any]:
    """Read so many days of so many rows.

    Returns:
        Records, wall and CPU seconds, peak memory in MiB, and microseconds of CPU a record.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(rows, theirs), daemon=True)
    process.start()
    try:
        url = ours.recv()
        with tempfile.TemporaryDirectory() as folder:
            now = dt.datetime.now(dt.timezone.utc)
            midnight = now.replace(minute=0, second=0, microsecond=0)
            config = {
                "pendo_integration_key": "benchmark",
                "pendo_api_url": url,
                "start_date": (midnight - dt.timedelta(days=days)).isoformat(),
                "pendo_reread_on_rule_change": False,
            }
            Path(folder, "config.json").write_text(json.dumps(config))
            return _run(Path(folder), days * rows)
    finally:
        process.terminate()
        process.join()


def _run(folder: Path, expected: int) -> dict[str, Any]:
    tap = [sys.executable, "-m", "tap_pendo_pipedrive", "--config", str(folder / "config.json")]
    found = subprocess.run([*tap, "--discover"], capture_output=True, check=True)
    catalog = json.loads(found.stdout)
    for entry in catalog["streams"]:
        for each in entry["metadata"]:
            if not each["breadcrumb"]:
                each["metadata"]["selected"] = entry["tap_stream_id"] == "pendo_feature_events"
    (folder / "catalog.json").write_text(json.dumps(catalog))
    start = time.monotonic()
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [*tap, "--catalog", str(folder / "catalog.json")], stdout=subprocess.DEVNULL, stderr=log
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    text = (folder / "log").read_text()
    if child.returncode or f"{expected} records" not in text:
        raise RuntimeError(text[-2000:])
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "records": expected,
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "cpu_us_a_record": round(cpu / expected * 1e6, 2),
        "records_a_second": round(expected / wall),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "summary": next(line for line in text.splitlines() if f"{expected} records" in line)[60:],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pendo", description=__doc__)
    parser.add_argument("--days", type=int, default=9)
    parser.add_argument("--rows", type=int, default=33_333, help="rows a day")
    options = parser.parse_args()
    for name, value in measure(options.days, options.rows).items():
        print(f"{name:>20}  {value}")


if __name__ == "__main__":
    main()
