"""A Pendo that runs on the loopback interface."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from tests.sandbox import catalogue, people
from tests.sandbox.analytics import HISTORY_DAYS, SCHEMAS, SLICE_MS
from tests.sandbox.pipeline import Limits, run
from tests.sandbox.server import Reply, Request, SandboxServer
from tests.sandbox.usage import DEFAULT_APP
from tests.sandbox.vocabulary import epoch_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.company import Company

# Path -> table of the whole-list endpoints.
LISTS = {
    "/api/v1/page": "pages",
    "/api/v1/feature": "features",
    "/api/v1/guide": "guides",
    "/api/v1/report": "reports",
    "/api/v1/tracktype": "track_types",
    "/api/v1/segment": "segments",
}
# Objects of these belong to an application.
OF_APPS = {"pages", "features", "guides", "track_types"}
TEXT = "text/plain; charset=utf-8"


def _text(status: int, text: str) -> Reply:
    return Reply(status, text.encode(), {}, TEXT)


class PendoServer(SandboxServer):
    """Serves the company's product side; a context manager.

    Attributes:
        company: The company served; edit it while the server runs.
        key: Integration key that works.
        limits: How aggregations behave where that may vary.
        history_refused: Visitors' histories answer 422, as some subscriptions' do.
        base64_ids: Visitors' histories want the id in base64 (URL-safe), not as text.
        routes: (method, path) -> handler; the place to add further endpoints.
    """

    def __init__(
        self,
        company: Company,
        *,
        key: str = "sandbox-key",
        latency: float = 0.0,
        port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        """Bind the server.

        Args:
            company: What to serve.
            key: Integration key.
            latency: Seconds added to every answer.
            port: Loopback port, 0 for a free one.
            limits: How aggregations behave.
        """
        super().__init__(latency=latency, port=port)
        self.company = company
        self.key = key
        self.limits = limits or Limits()
        self.history_refused = False
        self.base64_ids = False
        self.routes: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", path): self._list for path in LISTS
        }
        self.routes["POST", "/api/v1/aggregation"] = self._aggregation

    def handle(self, request: Request) -> Reply:
        """Answer as Pendo would."""
        if request.headers.get("x-pendo-integration-key") != self.key:
            # The reference says 401; the service answers 403.
            return Reply.json(403, {"code": 403, "message": "Forbidden: invalid integration key"})
        route = self.routes.get((request.method, request.path))
        if route is not None:
            return route(request)
        if any(path == request.path for _, path in self.routes):
            return _text(405, "method not allowed")
        if request.method == "GET":
            return self._by_path(request)
        return _text(404, "404 page not found")

    def _by_path(self, request: Request) -> Reply:
        """Answer a GET with an id or a kind in its path."""
        # Split first: an id may hold an escaped slash.
        match [unquote(part) for part in request.path.split("/")]:
            case ["", "api", "v1", "metadata", "schema", kind]:
                # An unknown kind is no error.
                return Reply.json(200, people.schema(SCHEMAS.get(kind, {})))
            case ["", "api", "v1", "report", report, "results.json"]:
                return self._results(report)
            case ["", "api", "v1", "visitor", visitor, "history"]:
                return self._history(visitor, request.params)
            case ["", "api", "v1", "visitor" | "account" as kind, key] if key:
                return self._person(kind, key)
        return _text(404, "404 page not found")

    def _list(self, request: Request) -> Reply:
        """A bare array with the whole list; unknown parameters have no effect."""
        table = LISTS[request.path]
        params = request.params
        company = self.company
        with company.lock:
            keys = list(company.tables[table])
            rows = company.tables[table]
            if table in OF_APPS and params.get("expand") != "*":
                keys = [key for key in keys if rows[key]["appId"] == DEFAULT_APP]
            if "id" in params:
                keys = [key for key in keys if key == params["id"]]
                if not keys:
                    return _text(404, "not found")
                return Reply(200, company.encoded(table, keys[0]))
            data = b",".join(company.encoded(table, key) for key in keys)
        return Reply(200, b"[" + data + b"]")

    def _aggregation(self, request: Request) -> Reply:
        return run(self.company, request.body, self.limits)

    def _results(self, report: str) -> Reply:
        """The rows of a report of visitors or accounts; others cannot be exported."""
        with self.company.lock:
            row = self.company.tables["reports"].get(report)
            if row is None:
                return _text(404, "not found")
            rows = self.company.analytics.results(report)
        if rows is None:
            return _text(catalogue.REFUSALS.get(row["type"], 400), "report cannot be exported")
        return Reply.json(200, rows)

    def _history(self, visitor: str, params: dict[str, str]) -> Reply:
        """What a visitor did in the 24 hours from `starttime`, at most 180 days back."""
        start = params.get("starttime", "")
        if self.history_refused or not start.isdecimal():
            return Reply.json(422, {"fields": {"starttime": "Invalid"}})
        if self.base64_ids:
            padded = visitor + "=" * (-len(visitor) % 4)
            try:
                visitor = base64.urlsafe_b64decode(padded).decode()
            except (binascii.Error, ValueError):
                return _text(404, "not found")
        with self.company.lock:
            analytics = self.company.analytics
            if visitor not in analytics.people.visitors:
                return _text(404, "not found")
            now = epoch_ms(self.company.now.timestamp())
            first = max(int(start), now - HISTORY_DAYS * SLICE_MS)
            rows = analytics.history(visitor, first, min(int(start) + SLICE_MS, now + 1))
        return Reply.json(200, rows)

    def _person(self, kind: str, key: str) -> Reply:
        """One visitor or account."""
        with self.company.lock:
            known = self.company.analytics.people
            rows = known.visitors if kind == "visitor" else known.accounts
            if key not in rows:
                return _text(404, "not found")
            metadata: dict[str, Any] = rows[key]["metadata"]
            answer: dict[str, Any] = {"id": key, "metadata": metadata}
            if kind == "visitor":
                accounts = known.members[key]
                answer |= {
                    "accountIds": accounts,
                    "lastStartTime": metadata.get("auto", {}).get("lastvisit"),
                    "account": {"id": accounts[0] if accounts else ""},
                }
            return Reply(200, msgspec.json.encode(answer))
