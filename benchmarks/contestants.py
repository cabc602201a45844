"""The programs that are compared, and how one run of a program is measured."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
UV = ROOT / ".tools" / "uv" / "bin" / "uv"
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
RECORD_MARKS = (b'{"type":"RECORD"', b'{"type": "RECORD"')


class RunFailed(Exception):
    """A program ended with an error."""


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
        count: Keep the output in memory and count it afterwards; else it goes to the null device
            and the rows that were served count as written.

    Returns:
        What it took.

    Raises:
        RunFailed: It failed, or took too long.
    """
    if server:
        server.reset()
    with tempfile.TemporaryDirectory(dir=_memory(records if count else 0)) as name:
        folder = Path(name)
        output = folder / "output" if count else Path(os.devnull)
        start = time.perf_counter()
        with output.open("wb") as out, (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=log, env=_env())
            watchdog = threading.Timer(timeout, process.kill)
            watchdog.start()
            try:
                # The use of this child alone: the server must not be counted.
                _, status, use = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            finally:
                watchdog.cancel()
                process.kill()
        wall = time.perf_counter() - start
        if process.returncode:
            text = (folder / "log").read_text(errors="replace")[-1500:]
            reason = "took too long" if wall >= timeout else f"exit code {process.returncode}"
            raise RunFailed(f"{program}: {reason}\n{text}")
        written = _count(output) if count else None
    stats = server.stats() if server else {}
    # Bytes on macOS, kilobytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return Result(
        program,
        stats.get("rows", 0) if written is None else written,
        wall,
        use.ru_utime + use.ru_stime,
        use.ru_maxrss * unit / 2**20,
        stats.get("requests", 0),
        stats.get("refused", 0),
        stats.get("tokens", 0),
        stats.get("times", []),
        stats.get("paths", {}),
        rows_served=stats.get("rows", 0),
    )


def _env() -> dict[str, str]:
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _memory(records: int) -> str | None:
    """A folder in memory, if there is one with enough room."""
    folder = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    if not folder.is_dir():
        return None
    room = os.statvfs(folder)
    return str(folder) if room.f_bavail * room.f_frsize > records * OUTPUT_BYTES * 2 else None


def _count(output: Path) -> int:
    with output.open("rb", buffering=1 << 20) as lines:
        return sum(line.startswith(RECORD_MARKS) for line in lines)


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
    catalog = _select(_discover([*command, "--discover"]), set(job.streams))
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return [*command, "--catalog", f"{folder}/catalog.json"]


# singer-io's.


def install_peer() -> str | None:
    """Create the peer's environment unless it is there.

    Returns:
        Why it cannot be used; None if it can.
    """
    python = PEER_HOME / "bin" / "python"
    package = f"tap-pipedrive=={PEER_VERSION}"
    try:
        if not python.exists():
            subprocess.run(
                [UV, "venv", "--quiet", "--python", sys.executable, PEER_HOME], check=True
            )
        subprocess.run(
            [str(UV), "pip", "install", "--quiet", "--python", str(PEER_HOME), package],
            check=True,
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{package} cannot be installed: {error}"
    return None


def peer_command(server: Server, job: Job, folder: Path) -> list[str]:
    """The command of singer-io's tap, with the catalog of its own discovery."""
    config = {"api_token": "benchmark", "start_date": job.since or server.start}
    (folder / "peer.json").write_text(json.dumps(config))
    command = [f"{PEER_HOME}/bin/python", "-c", PEER_LAUNCHER, server.url]
    command += ["--config", f"{folder}/peer.json"]
    names = {PEER_STREAMS[stream] for stream in job.streams if stream in PEER_STREAMS}
    catalog = _select(_discover([*command, "--discover"]), names)
    (folder / "peer-catalog.json").write_text(json.dumps(catalog))
    return [*command, "--catalog", f"{folder}/peer-catalog.json"]


def _discover(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, env=_env(), check=False, timeout=120)
    if done.returncode:
        raise RunFailed(f"discovery failed:\n{done.stderr.decode()[-1500:]}")
    catalog: dict[str, Any] = json.loads(done.stdout)
    return catalog


def _select(catalog: dict[str, Any], names: set[str]) -> dict[str, Any]:
    found = {stream["tap_stream_id"] for stream in catalog["streams"]}
    if missing := names - found:
        raise RunFailed(f"the catalog has no {', '.join(sorted(missing))}")
    for stream in catalog["streams"]:
        wanted = stream["tap_stream_id"] in names
        stream["selected"] = wanted
        for entry in stream["metadata"]:
            metadata = entry["metadata"]
            if not entry["breadcrumb"] or metadata.get("inclusion") == "available":
                metadata["selected"] = wanted
    return catalog


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
