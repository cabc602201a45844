"""Run the tap as a program or in this process, and look at what it wrote."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from tap_pendo_pipedrive.core import memory
from tap_pendo_pipedrive.core.http import Client
from tap_pendo_pipedrive.tap import TapPendoPipedrive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

Message = dict[str, Any]
Record = dict[str, Any]


@dataclass
class Run:
    """What one run of the tap wrote.

    Attributes:
        messages: Every Singer message, in order.
        lines: The same as they were written.
        exit_code: As the shell would see it.
        error: What the tap says on its way out, if it fails.
    """

    messages: list[Message] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    exit_code: int = 0
    error: str = ""

    def of_type(self, kind: str) -> list[Message]:
        """The messages of a type."""
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str) -> list[Record]:
        """The records of a stream, in order."""
        return [m["record"] for m in self.of_type("RECORD") if m["stream"] == stream]

    @property
    def streams(self) -> list[str]:
        """Streams with a SCHEMA message, in order."""
        return list(dict.fromkeys(message["stream"] for message in self.of_type("SCHEMA")))

    @property
    def states(self) -> list[Record]:
        """The values of the STATE messages, in order."""
        return [message["value"] for message in self.of_type("STATE")]

    @property
    def state(self) -> Record:
        """The last state; empty without any."""
        return self.states[-1] if self.states else {}

    def bookmark(self, stream: str, **context: Any) -> str | None:
        """A stream's last bookmark, of the partition with this context if one is given."""
        state = self.state.get("bookmarks", {}).get(stream, {})
        if context:
            found = [each for each in state.get("partitions", []) if each["context"] == context]
            state = found[0] if found else {}
        value: str | None = state.get("replication_key_value")
        return value


class Tables:
    """What a target that upserts by primary key would hold after some runs."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], Record]] = defaultdict(dict)
        self._keys: dict[str, list[str]] = {}

    def load(self, messages: Iterable[Message]) -> Tables:
        """Load messages in order."""
        for message in messages:
            if message["type"] == "SCHEMA":
                self._keys[message["stream"]] = message["key_properties"]
                self.rows[message["stream"]]
            elif message["type"] == "RECORD":
                record = message["record"]
                key = tuple(record[name] for name in self._keys[message["stream"]])
                self.rows[message["stream"]][key] = record
        return self


def parse(lines: Iterable[bytes | str]) -> list[Message]:
    """Read Singer messages, numbers with a point as decimals."""
    return [json.loads(line, parse_float=Decimal) for line in lines if line.strip()]


class _Stdout(io.TextIOWrapper):
    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)


def run_tap(
    monkeypatch: pytest.MonkeyPatch,
    config: Mapping[str, Any],
    *,
    catalog: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
    first_delay: float = 0.001,
) -> Run:
    """Run a sync in this process.

    Args:
        monkeypatch: Replaces standard output and the pause between retries.
        config: The tap's settings.
        catalog: A catalog, for example from :func:`discover`.
        state: The state to start from.
        first_delay: Seconds before the first retry.
    """
    stdout = _Stdout()
    run = Run()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(Client, "first_delay", first_delay)
        # It freezes what there is, which is right once in a process and not for each test.
        patch.setattr(memory, "prepare", lambda: None)
        try:
            tap = TapPendoPipedrive(
                config=dict(config),
                catalog=json.loads(json.dumps(catalog)) if catalog else None,
                state=json.loads(json.dumps(state)) if state else None,
            )
            tap.sync_all()
        except click.ClickException as error:
            run.exit_code, run.error = error.exit_code, error.message
        except SystemExit as error:
            run.exit_code = int(error.code or 0)
    run.lines = stdout.bytes.getvalue().splitlines()
    run.messages = parse(run.lines)
    return run


def discover(config: Mapping[str, Any]) -> dict[str, Any]:
    """Discover the catalog, in this process."""
    catalog = TapPendoPipedrive(config=dict(config), setup_mapper=False).catalog_dict
    parsed: dict[str, Any] = json.loads(json.dumps(catalog))
    return parsed


def select(catalog: dict[str, Any], *streams: str) -> dict[str, Any]:
    """Select these streams of a catalog and no others."""
    for entry in catalog["streams"]:
        for metadata in entry["metadata"]:
            if not metadata["breadcrumb"]:
                metadata["metadata"]["selected"] = entry["tap_stream_id"] in streams
    return catalog


def command(*arguments: str) -> list[str]:
    """The command line of the tap in this environment."""
    return [sys.executable, "-m", "tap_pendo_pipedrive", *arguments]


def run_command(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the tap as a program."""
    return subprocess.run(
        command(*arguments), env=env, timeout=timeout, capture_output=True, text=True, check=False
    )


def log_text(caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was logged, tracebacks too."""
    return "\n".join(logging.Formatter().format(record) for record in caplog.records)
