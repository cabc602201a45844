"""Measure a full sync of the sandbox: `python -m benchmarks.baseline`.

The sandbox serves its invented company from a process of its own; the tap runs as a program and
writes to the null device.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import programs

#: The tap's summary: "<stream>: complete; 8000 records, 17 requests (0 retries), 170 API tokens".
SUMMARY = re.compile(
    r"(?P<stream>p\w+): (?P<outcome>[a-z: ]+); (?P<records>\d+) records,"
    r" (?P<requests>\d+) requests \((?P<retries>\d+) retries\), (?P<tokens>\d+) API tokens"
)


def measure(scale: float, latency: float, timeout: float) -> dict[str, Any]:
    """Sync the sandbox once.

    Args:
        scale: The company's size; 1.0 is 8,000 deals.
        latency: Seconds that the sandbox adds to each answer.
        timeout: Seconds until the tap is stopped.

    Returns:
        What it took.

    Raises:
        RunFailed: The tap failed.
    """
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "tests.sandbox", f"--scale={scale}", f"--latency={latency}"],
        cwd=programs.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if sandbox.stdout is None or not (line := sandbox.stdout.readline()):
            raise programs.RunFailed("the sandbox did not start")
        address = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            return _sync(address, Path(folder), timeout)
    finally:
        sandbox.terminate()
        sandbox.communicate()


def _sync(address: dict[str, str], folder: Path, timeout: float) -> dict[str, Any]:
    config = folder / "config.json"
    config.write_text(
        json.dumps(
            {
                "pipedrive_api_token": address["pipedrive_token"],
                "pipedrive_api_url": address["pipedrive_url"],
                "pendo_integration_key": address["pendo_key"],
                "pendo_api_url": address["pendo_url"],
            }
        ),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "tap_pendo_pipedrive", "--config", str(config)]
    took = programs.run("this tap", command, timeout=timeout)
    streams = {
        match["stream"]: {name: int(match[name]) for name in ("records", "requests", "tokens")}
        for match in SUMMARY.finditer(took.log)
    }
    total = {
        name: sum(stream[name] for stream in streams.values())
        for name in ("records", "requests", "tokens")
    }
    return {
        "records": total["records"],
        "records_per_second": round(total["records"] / took.wall),
        "wall_seconds": round(took.wall, 2),
        "cpu_seconds": round(took.cpu, 2),
        "peak_memory_mib": round(took.peak_mib),
        "requests": total["requests"],
        "api_tokens": total["tokens"],
        "streams": streams,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baseline", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is 8,000 deals")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to each answer")
    parser.add_argument("--runs", type=int, default=1, help="the fastest of so many counts")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one sync")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    runs = [measure(options.scale, options.latency, options.timeout) for _ in range(options.runs)]
    best = min(runs, key=lambda run: float(run["wall_seconds"]))
    if options.json:
        print(json.dumps({"scale": options.scale, "latency": options.latency, **best}, indent=2))
        return
    streams = best.pop("streams")
    print(f"{'stream':<34}{'records':>9}{'requests':>10}{'tokens':>8}")
    for name, use in sorted(streams.items()):
        print(f"{name:<34}{use['records']:>9,}{use['requests']:>10,}{use['tokens']:>8,}")
    print()
    for name, value in best.items():
        print(f"{name.replace('_', ' '):<34}{value:>9,}")


if __name__ == "__main__":
    main()
