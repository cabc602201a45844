"""The sandbox that stands in for both services."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import sys
import typing as t
import urllib.request

from demo.processes import child

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Usage:
    """Requests and API tokens that a service has counted."""

    requests: int
    tokens: int

    def __sub__(self, earlier: Usage) -> Usage:
        """Return what was added since an earlier count."""
        return Usage(self.requests - earlier.requests, self.tokens - earlier.tokens)


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    pipedrive_url: str
    pendo_url: str
    pipedrive_token: str
    pendo_key: str

    @property
    def settings(self) -> dict[str, str]:
        """The tap's settings for it, as environment variables."""
        return {
            "TAP_PENDO_PIPEDRIVE_PIPEDRIVE_API_URL": self.pipedrive_url,
            "TAP_PENDO_PIPEDRIVE_PIPEDRIVE_API_TOKEN": self.pipedrive_token,
            "TAP_PENDO_PIPEDRIVE_PENDO_API_URL": self.pendo_url,
            "TAP_PENDO_PIPEDRIVE_PENDO_INTEGRATION_KEY": self.pendo_key,
            # Half of an OAuth set-up may stand in .env; empty counts as not set.
            "TAP_PENDO_PIPEDRIVE_PIPEDRIVE_CLIENT_ID": "",
            "TAP_PENDO_PIPEDRIVE_PIPEDRIVE_CLIENT_SECRET": "",
        }

    def usage(self) -> dict[str, Usage]:
        """Return what each service has counted so far."""
        return {
            service: Usage(stats["requests"], stats["tokens"])
            for service, url in (("Pipedrive", self.pipedrive_url), ("Pendo", self.pendo_url))
            for stats in [_call(f"{url}/_sandbox/stats")]
        }

    def change(self, count: int) -> dict[str, t.Any]:
        """Let people work for a while: edit, archive, delete and add records."""
        url = f"{self.pipedrive_url}/_sandbox/changes?count={count}"
        return _call(url, method="POST")


def _call(url: str, method: str = "GET") -> dict[str, t.Any]:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - the sandbox's own address
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return t.cast("dict[str, t.Any]", json.load(answer))


@contextlib.contextmanager
def running(root: Path) -> Iterator[Sandbox]:
    """Start the sandbox and stop it afterwards.

    Raises:
        RuntimeError: If it does not start.
    """
    # Pendo's event streams look back from today.
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0).isoformat()
    command = [sys.executable, "-m", "tests.sandbox", "--now", now]
    with child(command, cwd=root) as process:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            message = "The sandbox did not start."
            raise RuntimeError(message)
        yield Sandbox(**json.loads(line))
