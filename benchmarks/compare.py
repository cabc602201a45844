"""Run this tap, singer-io's `tap-pipedrive` and the bare floor side by side.

`python -m benchmarks.compare` ends within ten minutes: it reads fewer rows than the targets speak
of, and the slow peer even fewer, from which its figures are extrapolated along the line through two
runs, the shorter one of a single page of each list. `--full` measures everything at full size.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import contestants
from benchmarks.contestants import (
    PATHS,
    PEER_STREAMS,
    Job,
    Result,
    Server,
    World,
    measure,
    serving,
)
from benchmarks.programs import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TAP, PEER, FLOOR, FLOOR_AT_ONCE = "this tap", "singer-io", "floor", "floor, 8 at once"
AT_ONCE = 8
#: With as many requests in flight as a burst limit of 100 and 150 ms take (`max_concurrency`).
TAP_AT_ONCE = "this tap, 8 at once"
LATENCY = 0.15
WINDOW = 2.0
#: Seconds until a program is killed, quick and full.
TIMEOUTS = (200.0, 1200.0)

DEALS = ("pipedrive_deals",)
PRODUCTS = ("pipedrive_deals", "pipedrive_deal_products")
OF_BOTH = tuple(name for name in PEER_STREAMS if name in PATHS)
OF_OURS = tuple(PATHS)
TABLES = {name: name.removeprefix("pipedrive_") for name in PATHS}


@dataclass(frozen=True)
class Check:
    """A figure and its target."""

    figure: str
    value: float
    target: float
    at_least: bool = True

    @property
    def ok(self) -> bool:
        """Whether the target is met."""
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        """One line of the report."""
        sign = ">=" if self.at_least else "<="
        word = "met" if self.ok else "NOT MET"
        return f"{self.figure}: {self.value:,.2f} (target {sign} {self.target:,.4g}: {word})"


@dataclass
class Report:
    """What a scenario found out."""

    title: str
    results: list[Result] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, program: str) -> Result | None:
        """The result of a program."""
        return next((each for each in self.results if each.program == program), None)

    def compare(
        self, figure: str, program: str, target: float, *, at_least: bool = True, ours: str = TAP
    ) -> None:
        """Check this tap's records a second against another program's."""
        self._check(figure, self.of(ours), self.of(program), target, at_least=at_least)

    def _check(
        self,
        figure: str,
        ours: Result | None,
        theirs: Result | None,
        target: float,
        *,
        at_least: bool,
    ) -> None:
        if ours and theirs:
            ratio = ours.rate / theirs.rate if at_least else theirs.rate / ours.rate
            self.checks.append(Check(figure, ratio, target, at_least))

    def show(self) -> None:
        """Print it."""
        print(f"\n{self.title}")
        if self.results:
            print(
                f"  {'':<22}{'records':>10}{'wall s':>9}{'rec/s':>9}{'CPU s':>8}{'us/rec':>8}"
                f"{'MiB':>6}{'requests':>10}{'429':>5}{'tokens':>8}"
            )
        for each in self.results:
            name = each.program + ("*" if each.measured else "")
            cost = each.cpu / each.records * 1e6 if each.records else 0
            rate = each.rate
            print(
                f"  {name:<22}{each.records:>10,}{each.wall:>9.2f}{rate:>9,.0f}{each.cpu:>8.2f}"
                f"{cost:>8.1f}{each.peak_mib:>6.0f}{each.requests:>10,}{each.refused:>5}"
                f"{each.tokens:>8,}"
            )
            if each.measured:
                print(f"  * extrapolated from {each.measured:,} records and from a run of one page")
        for line in (*self.checks, *self.notes):
            print(f"  {line}")
        sys.stdout.flush()

    def as_json(self) -> dict[str, Any]:
        """Everything, for the JSON file."""
        return {
            "title": self.title,
            "results": [each.as_json() for each in self.results],
            "checks": [
                {"figure": c.figure, "value": round(c.value, 4), "target": c.target, "met": c.ok}
                for c in self.checks
            ],
            "notes": self.notes,
        }


class Bench:
    """Runs programs in worlds.

    Args:
        full: Full sizes instead of quick ones.
        records: Rows instead of a scenario's own number; 0 for that.
        peer_records: Rows that the peer reads; 0 for the scenario's own choice.
        peer: Whether the peer can be run.
        runs: The fastest of so many runs of a program counts.
        folder: For configurations and catalogs.
    """

    def __init__(  # noqa: PLR0913 - named, and given once
        self,
        *,
        full: bool,
        records: int,
        peer_records: int,
        peer: bool,
        runs: int,
        folder: Path,
    ) -> None:
        self.full = full
        self.folder = folder
        self.timeout = TIMEOUTS[full]
        self._records = records
        self._peer_records = peer_records
        self._peer = peer
        self._runs = runs

    def size(self, quick: int, full: int) -> int:
        """How many rows to read."""
        return self._records or (full if self.full else quick)

    def peer_size(self, size: int, quick: int) -> int:
        """How many rows the peer reads."""
        least = 2 * contestants.PEER_PAGE  # Two runs make a line.
        wanted = self._peer_records or (size if self.full else quick)
        return min(size, max(least, wanted))

    def tap(
        self, server: Server, job: Job, records: int = 0, *, count: bool = True, **settings: Any
    ) -> Result:
        """Run this tap."""
        command = contestants.tap_command(server, job, self.folder, **settings)
        return self._fastest(TAP, command, server, records, count=count)

    def _fastest(
        self, program: str, command: list[str], server: Server, records: int, *, count: bool = True
    ) -> Result:
        results = (
            measure(program, command, server, timeout=self.timeout, records=records, count=count)
            for _ in range(self._runs)
        )
        return min(results, key=lambda result: result.wall)

    def floor(self, server: Server, job: Job, records: int, *, windows: int = 1) -> Result:
        """Run the floor, with several walks at once if there are several windows."""
        width = AT_ONCE if windows > 1 else 1
        command = contestants.floor_command(server, job, width=width, windows=windows)
        name = FLOOR if width == 1 else FLOOR_AT_ONCE
        return self._fastest(name, command, server, records)

    def lists_at_once(self, server: Server, job: Job, records: int) -> Result:
        """Run the floor with several lists, or batches of children, at once."""
        command = contestants.floor_command(server, job, width=AT_ONCE)
        return self._fastest(FLOOR_AT_ONCE, command, server, records)

    def peer(
        self, report: Report, world: Callable[[int], World], job: Job, sizes: tuple[int, int]
    ) -> None:
        """Run the peer and add its result.

        Args:
            report: Gets the result.
            world: Makes a world of a number of rows.
            job: What to read.
            sizes: The rows that the others read, and those that the peer reads.
        """
        if not self._peer:
            report.notes.append("singer-io's tap is not installed")
            return
        size, peer_size = sizes
        try:
            result = self._run_peer(world(peer_size), job, peer_size)
            if peer_size < size and (ours := report.of(TAP)):
                page = self._run_peer(world(contestants.PEER_PAGE), job, 0)
                result = result.scaled_to(ours.records, page)
            report.results.append(result)
        except RunFailed as error:
            report.notes.append(str(error))

    def _run_peer(self, world: World, job: Job, records: int) -> Result:
        with serving(world) as server:
            command = contestants.peer_command(server, job, self.folder)
            return self._fastest(PEER, command, server, records)


def _deals(count: int, latency: float = 0.0, burst: int = 0) -> World:
    return World({"deals": count}, 0, latency, burst)


def throughput(bench: Bench) -> Iterable[Report]:
    """A: many deals at no latency."""
    size = bench.size(100_000, 200_000)
    report = Report(f"A. {size:,} deals at 0 ms")
    with serving(_deals(size)) as server:
        job = Job(DEALS)
        report.results += [bench.tap(server, job, size), bench.floor(server, job, size)]
    bench.peer(report, _deals, Job(DEALS), (size, bench.peer_size(size, 10_000)))
    report.compare("records/s, times singer-io's", PEER, 25)
    report.compare("the floor's records/s, times this tap's", FLOOR, 3, at_least=False)
    yield report


def incremental(bench: Bench) -> Iterable[Report]:
    """B: deals from a start date at 150 ms."""
    size = bench.size(50_000, 50_000)
    report = Report(f"B. {size:,} deals from a start_date at 150 ms")
    with serving(_deals(size, LATENCY)) as server:
        job = Job(DEALS, server.start)
        report.results += [
            bench.tap(server, job, size),
            bench.floor(server, job, size),
            bench.floor(server, job, size, windows=AT_ONCE),
        ]
    sizes = size, bench.peer_size(size, 5_000)
    bench.peer(report, lambda count: _deals(count, LATENCY), job, sizes)
    report.compare("records/s, times singer-io's", PEER, 25)
    report.compare("records/s, times the floor's 8 at once", FLOOR_AT_ONCE, 1 / 3)
    yield report


def every_list(bench: Bench) -> Iterable[Report]:
    """C: all lists at 150 ms and 100 requests per 2 s."""
    size = bench.size(5_000, 5_000)

    def world(count: int) -> World:
        return World({}, count, LATENCY, 100)

    for title, streams in (("that both have", OF_BOTH), ("of this tap", OF_OURS)):
        report = Report(
            f"C. the {len(streams)} lists {title}, {size:,} records each, at 150 ms and a burst"
            " limit of 100"
        )
        with serving(world(size)) as server:
            job = Job(streams, server.start)
            records = size * len(streams)
            fast = bench.tap(server, job, records, max_concurrency=AT_ONCE)
            report.results += [
                bench.tap(server, job, records),
                replace(fast, program=TAP_AT_ONCE),
                bench.lists_at_once(server, job, records),
            ]
        if streams == OF_BOTH:
            bench.peer(report, world, job, (size, bench.peer_size(size, 1_000)))
            report.compare("records/s, times singer-io's", PEER, 18)
            report.compare(f"the same, {AT_ONCE} at once", PEER, 18, ours=TAP_AT_ONCE)
        yield report


def products(bench: Bench) -> Iterable[Report]:
    """D: deals with their products at 150 ms."""
    size = bench.size(2_000, 2_000)
    report = Report(f"D. {size:,} deals with products at 150 ms")
    with serving(_deals(size, LATENCY)) as server:
        job = Job(PRODUCTS, server.start)
        records = size * 3
        report.results += [
            bench.tap(server, job, records),
            bench.lists_at_once(server, job, records),
        ]
    sizes = size, bench.peer_size(size, 200)
    bench.peer(report, lambda count: _deals(count, LATENCY), job, sizes)
    report.compare("records/s, times singer-io's", PEER, 80)
    ours, theirs = report.of(TAP), report.of(PEER)
    if ours and theirs:
        report.checks += [
            Check("singer-io's requests, times this tap's", theirs.requests / ours.requests, 50),
            Check("singer-io's tokens, times this tap's", theirs.tokens / ours.tokens, 50),
        ]
    yield report


def memory(bench: Bench) -> Iterable[Report]:
    """E: peak memory of a long list."""
    size = bench.size(200_000, 1_000_000)
    report = Report(f"E. peak memory: {size // 10:,} and {size:,} deals at 0 ms, this tap only")
    for count in (size // 10, size):
        with serving(_deals(count)) as server:
            report.results.append(bench.tap(server, Job(DEALS), count=False))
    peaks = [result.peak_mib for result in report.results]
    report.checks += [
        Check("peak MiB", peaks[-1], 150, at_least=False),
        Check("peak of ten times the records, times", peaks[-1] / peaks[0], 1.25, at_least=False),
    ]
    report.notes.append("records: rows served, the output went to the null device")
    yield report


def startup(bench: Bench) -> Iterable[Report]:
    """F: what it costs to start."""
    report = Report("F. CPU seconds of a start")

    version = [sys.executable, "-m", "tap_pendo_pipedrive", "--version"]
    shown = min(
        (measure("--version", version, None, timeout=60) for _ in range(2)),
        key=lambda result: result.wall,
    )
    with serving(World()) as server:
        one = bench.tap(server, Job(DEALS))
        every = bench.tap(server, Job(OF_OURS))
    one.program, every.program = "empty sync, deals", "empty sync, all lists"
    report.results += [shown, one, every]
    bench.peer(report, lambda _: World(), Job(OF_BOTH), (0, 0))
    for result in (shown, one, every):
        figure = f"CPU s, {result.program}"
        report.checks.append(Check(figure, result.cpu, 1, at_least=False))
    yield report


def rate_limit(bench: Bench) -> Iterable[Report]:
    """G: how fully the rate windows are used."""
    for burst, quick, full in ((40, 10_000, 20_000), (100, 25_000, 50_000)):
        size = bench.size(quick, full)
        report = Report(f"G. {size:,} deals with products at 20 ms, {burst} requests per 2 s")
        with serving(_deals(size, 0.02, burst)) as server:
            result = bench.tap(server, Job(PRODUCTS, server.start), size * 3)
        report.results.append(result)
        first = result.times[0]
        windows = int((result.times[-1] - first) / WINDOW)
        used = [
            sum(low <= each - first < low + WINDOW for each in result.times) / burst
            for low in (number * WINDOW for number in range(windows))
        ]
        if used:
            report.checks.append(
                Check("share of the rate windows used", sum(used) / len(used), 0.95)
            )
        refused = result.refused / result.requests
        report.checks.append(Check("share of answers 429", refused, 0.01, at_least=False))
        report.notes.append("windows: " + " ".join(f"{each:.0%}" for each in used))
        yield report


SCENARIOS: dict[str, Callable[[Bench], Iterable[Report]]] = {
    "A": throughput,
    "B": incremental,
    "C": every_list,
    "D": products,
    "E": memory,
    "F": startup,
    "G": rate_limit,
}


def main() -> None:
    """Run the scenarios and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument(
        "--scenario", action="append", choices=list(SCENARIOS), help="only this one; repeatable"
    )
    parser.add_argument("--full", action="store_true", help="full sizes, for the peer too")
    parser.add_argument("--records", type=int, default=0, help="rows instead of the scenario's")
    parser.add_argument("--peer-records", type=int, default=0, help="rows that singer-io's reads")
    parser.add_argument("--runs", type=int, default=2, help="the fastest of so many counts")
    parser.add_argument("--no-peer", action="store_true", help="leave singer-io's tap out")
    parser.add_argument("--json", type=Path, help="append the figures to the list in this file")
    options = parser.parse_args()
    problem = None if options.no_peer else contestants.install_peer()
    versions = {
        "python": platform.python_version(),
        "tap-pendo-pipedrive": metadata.version("tap-pendo-pipedrive"),
        "singer-sdk": metadata.version("singer-sdk"),
        "tap-pipedrive (singer-io)": problem or contestants.PEER_VERSION,
    }
    load = os.getloadavg()[0]
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{os.cpu_count()} cores, load {load:.1f}; compare ratios, not absolute figures")
    reports: list[Report] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            full=options.full,
            records=options.records,
            peer_records=options.peer_records,
            peer=not (options.no_peer or problem),
            runs=options.runs,
            folder=Path(folder),
        )
        for name in options.scenario or SCENARIOS:
            try:
                for report in SCENARIOS[name](bench):
                    report.show()
                    reports.append(report)
            except RunFailed as error:  # noqa: PERF203 - a scenario takes seconds
                print(f"\n{name}. {error}")
                reports.append(Report(f"{name}. failed", notes=[str(error)]))
    if options.json:
        before = json.loads(options.json.read_text()) if options.json.exists() else []
        run = {
            "time": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            "machine": {"cores": os.cpu_count(), "load": load, "system": platform.platform()},
            "versions": versions,
            "full": options.full,
            "reports": [report.as_json() for report in reports],
        }
        options.json.write_text(json.dumps([*before, run], indent=2) + "\n")
    missed = sum(not check.ok for report in reports for check in report.checks)
    print(f"\n{missed} targets not met" if missed else "\nevery target met")


if __name__ == "__main__":
    main()
