"""Run a program and measure it from outside; what all benchmarks share."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
UV = ROOT / ".tools" / "uv" / "bin" / "uv"
RECORD_MARKS = (b'{"type":"RECORD"', b'{"type": "RECORD"')


class RunFailed(Exception):
    """A program ended with an error."""


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds of all cores, of it alone.
        peak_mib: Its largest resident memory.
        log: What it wrote to standard error.
        records: Records of its output; None where that was not kept.
    """

    wall: float
    cpu: float
    peak_mib: float
    log: str
    records: int | None


def run(
    program: str,
    command: Sequence[str | Path],
    *,
    timeout: float,
    output: int | None = None,
    stream: str = "",
) -> Run:
    """Run a program, so that nothing else runs meanwhile but the server that it asks.

    Args:
        program: Its name in messages.
        command: What to run.
        timeout: Seconds until it is killed.
        output: Bytes that it writes at most, about. Its output is kept, in memory if there is room,
            and counted afterwards. None: it goes to the null device.
        stream: Count the records of this stream only.

    Raises:
        RunFailed: It failed, or took too long.
    """
    with tempfile.TemporaryDirectory(dir=_memory(output or 0)) as name:
        folder = Path(name)
        target = Path(os.devnull) if output is None else folder / "output"
        start = time.perf_counter()
        with target.open("wb") as out, (folder / "log").open("wb") as errors:
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=errors, env=_env())
            with _killed_after(timeout, process):
                # The use of this child alone: the server must not be counted.
                _, status, use = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        log = (folder / "log").read_text(errors="replace")
        if process.returncode:
            reason = "took too long" if wall >= timeout else f"exit code {process.returncode}"
            raise RunFailed(f"{program}: {reason}\n{log[-3000:]}")
        records = None if output is None else _count(target, stream.encode())
    # Bytes on macOS, kilobytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = use.ru_maxrss * unit / 2**20
    return Run(wall, use.ru_utime + use.ru_stime, peak, log, records)


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        process.kill()


def _env() -> dict[str, str]:
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _memory(size: int) -> str | None:
    """A folder in memory, if there is one with enough room."""
    folder = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    if not folder.is_dir():
        return None
    room = os.statvfs(folder)
    return str(folder) if room.f_bavail * room.f_frsize > size * 2 else None


def _count(output: Path, stream: bytes) -> int:
    with output.open("rb", buffering=1 << 20) as lines:
        records = (line for line in lines if line.startswith(RECORD_MARKS))
        return sum(stream in line[:80] for line in records)


def catalog_of(command: Sequence[str | Path], streams: set[str]) -> dict[str, Any]:
    """The catalog of a tap's own discovery, with only these streams selected.

    Raises:
        RunFailed: Discovery failed.
    """
    line = [*command, "--discover"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, env=_env(), check=False, timeout=120)
    if done.returncode:
        raise RunFailed(f"discovery failed:\n{done.stderr.decode()[-1500:]}")
    catalog: dict[str, Any] = json.loads(done.stdout)
    for stream in catalog["streams"]:
        wanted = stream["tap_stream_id"] in streams
        stream["selected"] = wanted
        for entry in stream["metadata"]:
            metadata = entry["metadata"]
            if not entry["breadcrumb"] or metadata.get("inclusion") == "available":
                metadata["selected"] = wanted
    return catalog


def install(home: Path, package: str) -> str | None:
    """Install a package into an environment of its own, unless it is there.

    Returns:
        Why it cannot be used; None if it can.
    """
    python = home / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, home], check=True)
        subprocess.run(
            [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(home), package],
            check=True,
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{package} cannot be installed: {error}"
    return None
