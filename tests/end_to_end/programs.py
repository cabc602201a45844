"""Runs programs with pipes between them, as a shell would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.end_to_end.expected import STREAMS
from tests.harness import command, discover, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[2]


def exact_json(text: str | bytes) -> Any:
    """Read JSON with its numbers as they are written."""
    return json.loads(text, parse_float=Decimal)


def target(name: str) -> str:
    """Find a target's executable, where `make test` installs it or on the PATH."""
    script = f"{name}.exe" if os.name == "nt" else name
    folder = ROOT / ".tools" / name / ("Scripts" if os.name == "nt" else "bin")
    if (folder / script).exists():
        return str(folder / script)
    installed = shutil.which(name)
    if installed is None:
        message = f"{name} is not installed: run the tests with `make test`, which installs it"
        raise FileNotFoundError(message)
    return installed


@dataclass
class Piped:
    """How `tap | target` ended.

    Attributes:
        state: The last state that the target passed on; empty without any.
        tap_log: What the tap wrote to standard error.
        target_log: What the target wrote to standard error.
    """

    state: dict[str, Any]
    tap_log: str
    target_log: str


class Workbench:
    """A folder with the files that programs take, and pipes between them.

    Args:
        folder: Where the files are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, content: Mapping[str, Any]) -> str:
        """Write a JSON file and return its path."""
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    def tap(
        self,
        config: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        *arguments: str,
        streams: Iterable[str] = STREAMS,
    ) -> list[str]:
        """The tap's command line, by default for the streams whose tables :mod:`expected` tells."""
        catalog = select(discover(config), *streams)
        files = self.file("tap.json", config), self.file("catalog.json", catalog)
        line = command("--config", files[0], "--catalog", files[1], *arguments)
        return [*line, "--state", self.file("state.json", state)] if state else line

    def pipe(self, tap: list[str], target: list[str], timeout: float = 120) -> Piped:
        """Run `tap | target` until both end, and check that both ended well."""
        tap_log, target_log = self.folder / "tap.log", self.folder / "target.log"
        with tap_log.open("wb") as tap_errors, target_log.open("wb") as target_errors:
            source = subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=tap_errors)
            try:
                # The tap's end of the pipe must be the only one, so that its end is seen.
                sink = subprocess.Popen(
                    target, stdin=source.stdout, stdout=subprocess.PIPE, stderr=target_errors
                )
                if source.stdout is not None:
                    source.stdout.close()
                try:
                    output, _ = sink.communicate(timeout=timeout)
                finally:
                    sink.kill()
                    sink.wait()
                source.wait(timeout)
            finally:
                source.kill()
                source.wait()
        result = Piped(
            state=json.loads(output.splitlines()[-1]) if output.strip() else {},
            tap_log=tap_log.read_text(encoding="utf-8"),
            target_log=target_log.read_text(encoding="utf-8"),
        )
        assert source.returncode == 0, result.tap_log[-4000:]
        assert sink.returncode == 0, result.target_log[-4000:]
        return result
