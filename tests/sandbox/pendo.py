"""A Pendo that runs on the loopback interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.server import Reply, Request, SandboxServer
from tests.sandbox.usage import DEFAULT_APP

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.company import Company

# Path -> table of the whole-list endpoints.
LISTS = {
    "/api/v1/page": "pages",
    "/api/v1/feature": "features",
    "/api/v1/guide": "guides",
    "/api/v1/report": "reports",
}
# Objects of these belong to an application.
OF_APPS = {"pages", "features", "guides"}


class PendoServer(SandboxServer):
    """Serves the company's product side; a context manager.

    Attributes:
        company: The company served; edit it while the server runs.
        key: Integration key that works.
        routes: (method, path) -> handler; the place to add further endpoints.
    """

    def __init__(
        self,
        company: Company,
        *,
        key: str = "sandbox-key",
        latency: float = 0.0,
        port: int = 0,
    ) -> None:
        """Bind the server.

        Args:
            company: What to serve.
            key: Integration key.
            latency: Seconds added to every answer.
            port: Loopback port, 0 for a free one.
        """
        super().__init__(latency=latency, port=port)
        self.company = company
        self.key = key
        self.routes: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", path): self._list for path in LISTS
        }

    def handle(self, request: Request) -> Reply:
        """Answer as Pendo would."""
        if request.headers.get("x-pendo-integration-key") != self.key:
            # The reference says 401; the service answers 403.
            return Reply.json(403, {"code": 403, "message": "Forbidden: invalid integration key"})
        route = self.routes.get((request.method, request.path))
        if route is None:
            known = any(path == request.path for _, path in self.routes)
            status, text = (405, "method not allowed") if known else (404, "404 page not found")
            return Reply(status, text.encode(), {}, "text/plain; charset=utf-8")
        return route(request)

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
                    return Reply(404, b"not found", {}, "text/plain; charset=utf-8")
                return Reply(200, company.encoded(table, keys[0]))
            data = b",".join(company.encoded(table, key) for key in keys)
        return Reply(200, b"[" + data + b"]")
