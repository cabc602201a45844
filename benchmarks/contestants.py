"""The programs that are compared, and how one run of a program is measured."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from benchmarks import programs
from benchmarks.programs import ROOT, RunFailed, catalog_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PEER_HOME = ROOT / ".tools" / "bench-tap-pipedrive"
PEER_VERSION = "2.1.0"
#: Its host is a constant, which only a launcher can point elsewhere.
PEER_LAUNCHER = (
    "import sys; import tap_pipedrive.tap as tap; tap.BASE_URL = sys.argv.pop(1);"
    " from tap_pipedrive.cli import main; main()"
)
#: Our streams and the peer's names for them. `deal_fields` is one, too, but no long list.
PEER_STREAMS = {
    "pipedrive_activities": "activities",
    "pipedrive_activity_types": "activity_types",
    "pipedrive_currencies": "currency",
    "pipedrive_deals": "deals",
    "pipedrive_deal_products": "deal_products",
    "pipedrive_files": "files",
    "pipedrive_filters": "filters",
    "pipedrive_notes": "notes",
    "pipedrive_organizations": "organizations",
    "pipedrive_persons": "persons",
    "pipedrive_pipelines": "pipelines",
    "pipedrive_products": "products",
    "pipedrive_stages": "stages",
    "pipedrive_users": "users",
}
#: The floor's paths of the same lists.
PATHS = {
    "pipedrive_activities": "/api/v2/activities",
    "pipedrive_activity_types": "/v1/activityTypes",
    "pipedrive_currencies": "/v1/currencies",
    "pipedrive_deals": "/api/v2/deals",
    "pipedrive_files": "/v1/files",
    "pipedrive_filters": "/v1/filters",
    "pipedrive_lead_labels": "/v1/leadLabels",
    "pipedrive_leads": "/v1/leads",
    "pipedrive_notes": "/v1/notes",
    "pipedrive_organizations": "/api/v2/organizations",
    "pipedrive_permission_sets": "/v1/permissionSets",
    "pipedrive_persons": "/api/v2/persons",
    "pipedrive_pipelines": "/api/v2/pipelines",
    "pipedrive_products": "/api/v2/products",
    "pipedrive_roles": "/v1/roles",
    "pipedrive_stages": "/api/v2/stages",
    "pipedrive_users": "/v1/users",
}
FILES_A_PAGE = 100
#: Rows that the peer asks for at a time. Its requests, and so its time, grow by whole pages.
PEER_PAGE = 100
#: Bytes of output of a record, at most about; decides whether it fits into memory.
OUTPUT_BYTES = 2600


@dataclass(frozen=True)
class World:
    """What the server holds and how it answers."""

    counts: Mapping[str, int] = field(default_factory=dict)
    default: int = 0
    latency: float = 0.0
    burst: int = 0


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    start: str
    end: str

    def stats(self) -> dict[str, Any]:
        """What it was asked for since the last reset."""
        answer: dict[str, Any] = requests.get(f"{self.url}/_bench/stats", timeout=60).json()
        return answer

    def reset(self) -> None:
        """Forget what was counted."""
        requests.get(f"{self.url}/_bench/reset", timeout=60)


@dataclass
class Result:
    """What a run took.

    Attributes:
        program: Who ran.
        measured: Records of the run that was measured, if this one is extrapolated from it.
    """

    program: str
    records: int
    wall: float
    cpu: float
    peak_mib: float
    requests: int
    refused: int
    tokens: int
    times: list[float] = field(default_factory=list, repr=False)
    paths: dict[str, int] = field(default_factory=dict, repr=False)
    measured: int | None = None
    rows_served: int = 0

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.wall

    def scaled_to(self, records: int, base: Result) -> Result:
        """Extrapolate along the line through this run and a shorter one."""
        factor = (records - base.records) / (self.records - base.records)

        def grow(whole: float, part: float) -> float:
            return part + max(0.0, whole - part) * factor

        return Result(
            self.program,
            records,
            grow(self.wall, base.wall),
            grow(self.cpu, base.cpu),
            self.peak_mib,
            round(grow(self.requests, base.requests)),
            self.refused,
            round(grow(self.tokens, base.tokens)),
            paths=self.paths,
            measured=self.records,
        )

    def as_json(self) -> dict[str, Any]:
        """The figures, rounded."""
        return {
            "program": self.program,
            "records": self.records,
            "records_per_second": round(self.rate, 1),
            "wall_seconds": round(self.wall, 3),
            "cpu_seconds": round(self.cpu, 3),
            "peak_mib": round(self.peak_mib, 1),
            "requests": self.requests,
            "answers_429": self.refused,
            "tokens": self.tokens,
            "extrapolated_from_records": self.measured,
            "requests_by_path": self.paths,
        }


@contextlib.contextmanager
def serving(world: World) -> Iterator[Server]:
    """Run a server in a process of its own.

    Raises:
        RunFailed: It did not start.
    """
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks.server",
            f"--counts={json.dumps(dict(world.counts))}",
            f"--records={world.default}",
            f"--latency={world.latency}",
            f"--burst={world.burst}",
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None or not (line := process.stdout.readline()):
            raise RunFailed("the server did not start")
        yield Server(**json.loads(line))
    finally:
        process.kill()
        process.communicate()


def measure(  # noqa: PLR0913 - named ones
    program: str,
    command: Sequence[str],
    server: Server | None,
    *,
    timeout: float,
    records: int = 0,
    count: bool = True,
) -> Result:
    """Run a program and measure it from outside.

    Args:
        program: Its name in the tables.
        command: What to run.
        server: What it asks; its counters start anew.
        timeout: Seconds until it is killed.
        records: About how many records it writes.
        count: Keep the output and count it afterwards; else it goes to the null device and the
            rows that were served count as written.

    Returns:
        What it took.

    Raises:
        RunFailed: It failed, or took too long.
    """
    if server:
        server.reset()
    output = records * OUTPUT_BYTES if count else None
    took = programs.run(program, command, timeout=timeout, output=output)
    stats = server.stats() if server else {}
    return Result(
        program,
        stats.get("rows", 0) if took.records is None else took.records,
        took.wall,
        took.cpu,
        took.peak_mib,
        stats.get("requests", 0),
        stats.get("refused", 0),
        stats.get("tokens", 0),
        stats.get("times", []),
        stats.get("paths", {}),
        rows_served=stats.get("rows", 0),
    )


@dataclass(frozen=True)
class Job:
    """What a program is asked to read.

    Attributes:
        streams: By our names.
        since: Only rows from then on.
    """

    streams: tuple[str, ...]
    since: str | None = None


# This tap.


def tap_command(server: Server, job: Job, folder: Path, **settings: Any) -> list[str]:
    """The command of this tap, with the catalog of its own discovery."""
    config = {
        "pipedrive_api_token": "benchmark",
        "pipedrive_api_url": server.url,
        **({"start_date": job.since} if job.since else {}),
        **settings,
    }
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "tap_pendo_pipedrive", "--config", f"{folder}/config.json"]
    catalog = catalog_of(command, set(job.streams))
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return [*command, "--catalog", f"{folder}/catalog.json"]


# singer-io's.


def install_peer() -> str | None:
    """Install the peer; return why it cannot be used, if it cannot."""
    return programs.install(PEER_HOME, f"tap-pipedrive=={PEER_VERSION}")


def peer_command(server: Server, job: Job, folder: Path) -> list[str]:
    """The command of singer-io's tap, with the catalog of its own discovery."""
    config = {"api_token": "benchmark", "start_date": job.since or server.start}
    (folder / "peer.json").write_text(json.dumps(config))
    command = [f"{PEER_HOME}/bin/python", "-c", PEER_LAUNCHER, server.url]
    command += ["--config", f"{folder}/peer.json"]
    names = {PEER_STREAMS[stream] for stream in job.streams if stream in PEER_STREAMS}
    catalog = catalog_of(command, names)
    (folder / "peer-catalog.json").write_text(json.dumps(catalog))
    return [*command, "--catalog", f"{folder}/peer-catalog.json"]


# The floor.


def floor_command(server: Server, job: Job, *, width: int = 1, windows: int = 1) -> list[str]:
    """The command of the floor.

    Args:
        server: What it asks.
        job: What it reads.
        width: Walks fetched at once.
        windows: Walks into which a list is cut by update time.
    """
    walks: list[dict[str, Any]] = []
    for stream in job.streams:
        if path := PATHS.get(stream):
            walk: dict[str, Any] = {"path": path, "params": {}}
            if path.endswith("files"):
                walk["limit"] = FILES_A_PAGE
            walks += [{**walk, "params": each} for each in _windows(server, job, windows)]
    products = "pipedrive_deal_products" in job.streams
    plan = {"url": server.url, "walks": walks, "width": width, "products": products}
    return [sys.executable, str(Path(__file__).with_name("floor.py")), json.dumps(plan)]


def _windows(server: Server, job: Job, number: int) -> list[dict[str, Any]]:
    if number == 1:
        return [{"updated_since": job.since} if job.since else {}]
    low, high = (dt.datetime.fromisoformat(text[:-1]) for text in (server.start, server.end))
    moments = (low + (high - low) * place / number for place in range(1, number))
    cuts = [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in moments]
    bounds = [server.start, *cuts]
    ends: list[str | None] = [*cuts, None]
    return [
        {"updated_since": first, **({"updated_until": last} if last else {})}
        for first, last in zip(bounds, ends, strict=True)
    ]
