"""Runs both sandbox servers: `python -m tests.sandbox`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tests.sandbox.changes import change
from tests.sandbox.company import DEFAULT_NOW, Company
from tests.sandbox.pendo import PendoServer
from tests.sandbox.pipedrive import PipedriveServer
from tests.sandbox.pipeline import Limits

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Serve until a signal arrives or the standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size; 1.0 is 8,000 deals")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--now", type=datetime.fromisoformat, default=DEFAULT_NOW)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to each answer")
    parser.add_argument("--changes", type=int, default=0, help="changes to make before serving")
    parser.add_argument("--burst", type=int, help="requests in two seconds")
    parser.add_argument("--daily-tokens", type=int, help="the daily API budget")
    parser.add_argument("--pipedrive-port", type=int, default=0)
    parser.add_argument("--pendo-port", type=int, default=0)
    parser.add_argument("--time-zone", default="America/New_York", help="of Pendo")
    parser.add_argument("--usage-days", type=float, default=20, help="days of Pendo events")
    parser.add_argument("--usage-per-day", type=int, help="Pendo activities of a usual day")
    parser.add_argument("--row-limit", type=int, help="event rows that take over five minutes")
    options = parser.parse_args()

    company = Company(
        options.scale,
        options.seed,
        options.now,
        time_zone=options.time_zone,
        usage_days=options.usage_days,
        usage_per_day=options.usage_per_day,
    )
    if options.changes:
        change(company, options.changes, 0)
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    def wait_for_input() -> None:
        # The end of the input means that the process which started us is gone.
        while sys.stdin.readline():
            pass
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=wait_for_input, daemon=True).start()

    pipedrive = PipedriveServer(
        company,
        latency=options.latency,
        burst=options.burst,
        daily_tokens=options.daily_tokens,
        port=options.pipedrive_port,
    )
    limits = Limits(row_limit=options.row_limit)
    pendo = PendoServer(company, latency=options.latency, port=options.pendo_port, limits=limits)
    with pipedrive, pendo:
        addresses = {
            "pipedrive_url": pipedrive.url,
            "pendo_url": pendo.url,
            "pipedrive_token": pipedrive.token,
            "pendo_key": pendo.key,
        }
        sys.stdout.write(msgspec.json.encode(addresses).decode() + "\n")
        sys.stdout.flush()
        # Short waits: a signal is only noticed between them on some platforms.
        while not stopped.is_set():
            time.sleep(0.1)


if __name__ == "__main__":
    main()
