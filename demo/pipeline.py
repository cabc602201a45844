"""The pipeline: `meltano run tap-pendo-pipedrive target-postgres`."""

from __future__ import annotations

import collections
import json
import os
import re
import subprocess
import threading
import time
import typing as t

from demo.console import say
from demo.processes import child

if t.TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

TAP: t.Final = "tap-pendo-pipedrive"
TARGET: t.Final = "target-postgres"
#: Seconds without a line after which one says that the pipeline goes on.
SILENCE: t.Final = 5.0
_STARTS: t.Final = "Beginning sync of '"
#: What the tap's last lines say of each stream.
_SUMMARY: t.Final = re.compile(
    r"\w+: (?P<outcome>[^;]+); (?P<records>\d+) records, (?P<requests>\d+) requests"
    r" \(\d+ retries\), (?P<tokens>\d+) API tokens"
)


class PipelineFailed(Exception):
    """Meltano ended with an error."""


class Pipeline:
    """Runs Meltano in this project with settings of its own."""

    def __init__(self, root: Path, folder: Path, settings: Mapping[str, str]) -> None:
        """Keep Meltano's state in a database of the demo.

        Args:
            root: The Meltano project.
            folder: Where the database and the logs go.
            settings: The plugins' settings, as environment variables.
        """
        self._root = root
        self._folder = folder
        self._meltano = root / ".tools" / "meltano" / "bin" / "meltano"
        # What make tells uv about its own environments is not for those that Meltano creates.
        ours = {"UV_PROJECT_ENVIRONMENT", "UV_PYTHON"}
        inherited = {name: text for name, text in os.environ.items() if name not in ours}
        self._env = {
            **inherited,
            "MELTANO_CLI_LOG_FORMAT": "json",
            "MELTANO_DATABASE_URI": f"sqlite:///{folder / 'meltano.db'}",
            "MELTANO_ENVIRONMENT": "dev",
            "NO_COLOR": "1",
            **settings,
        }

    def install(self) -> None:
        """Install the tap and the target as Meltano does."""
        self._run("install", TAP, TARGET, log="install")

    def run(self, number: int) -> None:
        """Load once.

        Args:
            number: Which run of the demo it is; its log is named after it.
        """
        self._run("run", TAP, TARGET, log=f"run-{number}")

    def _run(self, *arguments: str, log: str) -> None:
        path = self._folder / f"{log}.log"
        say(f"$ meltano {' '.join(arguments)}    (log: {path.relative_to(self._root)})")
        command = [str(self._meltano), *arguments]
        with (
            path.open("w", encoding="utf-8") as file,
            child(command, cwd=self._root, env=self._env, stderr=subprocess.STDOUT) as process,
            _Progress() as progress,
        ):
            for line in process.stdout or ():
                file.write(line)
                progress.read(line)
            code = process.wait()
            progress.sum_up()
        if code:
            tail = "\n".join(progress.tail)
            message = f"meltano ended with code {code}. The end of its log:\n{tail}"
            raise PipelineFailed(message)


class _Progress:
    """Shortens Meltano's log to a line for each stream that starts or is written."""

    def __init__(self) -> None:
        self.tail: collections.deque[str] = collections.deque(maxlen=15)
        self._said: set[str] = set()
        self._totals = [0, 0, 0]
        self._start = self._last = time.monotonic()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        """Start to say now and then that it goes on."""
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Be silent."""
        self._ended.set()
        self._heart.join()

    def _beat(self) -> None:
        while not self._ended.wait(1):
            if time.monotonic() - self._last > SILENCE:
                self._say("...")

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        say(f"{self._last - self._start:6.1f} s  {text}")

    def read(self, line: str) -> None:
        """Print what a line of the log has to say, if anything."""
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {}
        event = str(entry.get("event", line)).strip()
        details = (entry.get("install_state") or {}).get("details") or ""
        self.tail.append(f"{event} {details}".strip()[:1000])
        text = self._text(entry, event)
        if text and text not in self._said:
            self._said.add(text)
            self._say(text)

    def sum_up(self) -> None:
        """Sum up what the tap has read."""
        records, requests, tokens = self._totals
        if requests:
            say(f"Read {records:,} records in {requests:,} requests for {tokens:,} API tokens.")

    def _text(self, entry: Mapping[str, t.Any], event: str) -> str | None:
        if event.startswith(_STARTS):
            return "reading  " + event.removeprefix(_STARTS).partition("'")[0]
        if entry.get("name") == TARGET:
            stream = _written(event)
            return f"written  {stream}" if stream else None
        if summary := _SUMMARY.match(event):
            counts = (int(summary[name]) for name in ("records", "requests", "tokens"))
            self._totals = [a + b for a, b in zip(self._totals, counts, strict=True)]
            return event if summary["outcome"] != "complete" else None
        if entry.get("name") == TAP:
            return event[:300] if entry.get("level") != "info" else None
        return event if event.startswith(("Installed ", "Incremental state")) else None


def _written(event: str) -> str | None:
    """Return the stream of which the target has written a batch, if it says so."""
    metric = event.removeprefix("METRIC: ")
    if metric == event:
        return None
    point = json.loads(metric)
    if point.get("metric") != "batch_processing_time":
        return None
    return t.cast("str", point["tags"]["stream"])
