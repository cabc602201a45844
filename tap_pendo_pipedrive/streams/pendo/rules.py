"""Pages and features whose rule changed: Pendo rebuilds their past events, so they are read again.

A rule's version is the end of `stableVersionId`, a time. The state holds up to which one events
were read, and the objects that Pendo is still rebuilding.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_pendo_pipedrive.core.stream import Record

SEEN: t.Final = "rules_seen"
PENDING: t.Final = "rules_pending"

_VERSION: t.Final = re.compile(r"-(\d{14}(?:\.\d+)?)$")


@dataclasses.dataclass(frozen=True)
class Changes:
    """What became of the rules since the state was written.

    Attributes:
        ready: Ids of objects whose events are to be read again now.
        progress: What the state says once they were.
    """

    ready: list[str]
    progress: dict[str, t.Any]

    @classmethod
    def since(cls, state: Mapping[str, t.Any], objects: Iterable[Record]) -> Changes:
        """Compare the objects with the state. A first run finds no changes."""
        seen = state.get(SEEN)
        owed = set(state.get(PENDING) or ())
        ready: list[str] = []
        pending: list[str] = []
        latest = str(seen or "")
        for each in objects:
            version = _version(each)
            latest = max(latest, version)
            if each["id"] in owed or (seen is not None and version > seen):
                (pending if each.get("dirty") else ready).append(each["id"])
        return cls(sorted(ready), {SEEN: latest, PENDING: sorted(pending)})


def _version(each: Record) -> str:
    match = _VERSION.search(str(each.get("stableVersionId") or ""))
    return match[1] if match else ""
