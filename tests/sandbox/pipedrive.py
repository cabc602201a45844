"""A Pipedrive that runs on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.sandbox.changes import change
from tests.sandbox.endpoints import (
    ENDPOINTS,
    ME,
    ME_COST,
    RETIRED,
    BadParameterError,
    Endpoint,
    NotFoundError,
    find,
    parse,
)
from tests.sandbox.lists import Lists, Options
from tests.sandbox.server import Fault, Reply, Request, SandboxServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.company import Company

WINDOW = 2.0
CLOUDFLARE = (
    b"<!DOCTYPE html><html><head><title>Access denied | Cloudflare</title></head><body>"
    b"<h1>Error 1015</h1><p>You are being rate limited</p></body></html>"
)


def error(
    status: int, text: str, info: str | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """An error in Pipedrive's envelope."""
    body = {"success": False, "error": text, "error_info": info, "data": None}
    return Reply.json(status, body | {"additional_data": None}, headers)


def refuse(status: int, *paths: str) -> Callable[[Request], Fault | None]:
    """A `fault` that refuses lists, as for a plan or an account that does not have them.

    Args:
        status: Answered with, in Pipedrive's envelope.
        paths: The lists, as `ENDPOINTS` has them: `{id}` stands for every parent.
    """
    body = {"success": False, "error": "Feature not available", "data": None}
    return lambda request: (
        Fault(status=status, body=body) if find(request.path)[0] in paths else None
    )


@dataclass
class OAuthApp:
    """An OAuth app that is installed in the company.

    Attributes:
        client_id: Of the app.
        client_secret: Of the app.
        refresh_token: The token that currently works; changes when `rotate` is on.
        expires_in: Life of an access token in seconds.
        rotate: Whether every refresh gives a new refresh token and ends the old one.
        api_domain: Host told to clients; None tells this server's own address.
        access_tokens: Access tokens given out, with the `time.monotonic()` of their end.
    """

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"
    refresh_token: str = "sandbox-refresh-0"
    expires_in: int = 3599
    rotate: bool = False
    api_domain: str | None = None
    access_tokens: dict[str, float] = field(default_factory=dict)

    def expire(self) -> None:
        """End every access token now."""
        for token in self.access_tokens:
            self.access_tokens[token] = 0.0

    def issue(self) -> str:
        """A new access token, about as long as real ones."""
        number = len(self.access_tokens)
        digest = hashlib.sha512(f"{self.client_id}:{number}".encode()).hexdigest()
        token = f"v1u:{number}:" + digest * 4
        self.access_tokens[token] = time.monotonic() + self.expires_in
        return token


@dataclass
class _Window:
    """The rolling window of one token."""

    admitted: deque[float] = field(default_factory=deque)
    refused: int = 0
    blocked_until: float = 0.0


class PipedriveServer(SandboxServer):
    """Serves the company's sales side; a context manager.

    Attributes:
        company: The company served; edit it while the server runs.
        token: API token that works in `x-api-token`.
        daily_used: Tokens of today's budget used so far.
    """

    def __init__(
        self,
        company: Company,
        *,
        token: str | None = "sandbox-token",
        oauth: OAuthApp | None = None,
        burst: int | None = None,
        daily_tokens: int | None = None,
        daily_headers: bool = True,
        block_after: int = 10,
        block_seconds: float = 30.0,
        retired_status: int = 410,
        latency: float = 0.0,
        port: int = 0,
        page_end: str | None = None,
        v1_block: str | None = None,
        items_of_deleted: bool = True,
    ) -> None:
        """Bind the server.

        Args:
            company: What to serve.
            token: API token; None refuses API tokens.
            oauth: An installed OAuth app; adds the token endpoint and bearer tokens.
            burst: Requests in two seconds and token; None: no limit and no headers.
            daily_tokens: The company's daily budget; None: no budget.
            daily_headers: Whether answers carry the daily headers.
            block_after: Requests into a closed window until the client gets the 403 HTML page.
            block_seconds: How long that lasts.
            retired_status: Status of v1 lists that v2 replaced.
            latency: Seconds added to every answer.
            port: Loopback port, 0 for a free one.
            page_end: See `lists.Options`.
            v1_block: See `lists.Options`.
            items_of_deleted: See `lists.Options`.
        """
        super().__init__(latency=latency, port=port)
        self.company = company
        self.token = token
        self.oauth = oauth
        self.burst = burst
        self.daily_tokens = daily_tokens
        self.daily_headers = daily_headers
        self.daily_used = 0
        self.block_after = block_after
        self.block_seconds = block_seconds
        self.retired_status = retired_status
        self.lists = Lists(company, Options(page_end, v1_block, items_of_deleted))
        self._windows: dict[str, _Window] = {}
        self._changes = 0

    def listed_as(self, path: str) -> str:
        """The path as `ENDPOINTS` has it."""
        return find(path)[0]

    def new_day(self) -> None:
        """Refill the daily budget."""
        with self._log_lock:
            self.daily_used = 0

    def handle(self, request: Request) -> Reply:
        """Answer as Pipedrive would: first the gateway, then the limits, then the API."""
        if request.path == "/oauth/token" and self.oauth is not None:
            return self._token(request, self.oauth)
        client = self._client(request)
        if client is None:
            return Reply.json(
                401,
                {
                    "success": False,
                    "error": "unauthorized access",
                    "errorCode": 401,
                    "error_info": "Please check developers.pipedrive.com",
                },
                {"x-401-by-gw": "true", "x-correlation-id": f"sandbox-{request.number}"},
            )
        refusal, headers = self._admit(client)
        if refusal is None:
            refusal = self._spend(request, headers)
        reply = refusal or self._api(request)
        reply.headers.update(headers)
        return reply

    # Who asks

    def _client(self, request: Request) -> str | None:
        bearer = request.headers.get("authorization", "")
        if bearer.startswith("Bearer ") and self.oauth is not None:
            end = self.oauth.access_tokens.get(bearer[7:], 0.0)
            return "oauth" if end > time.monotonic() else None
        token = request.headers.get("x-api-token")
        return "api_token" if token and token == self.token else None

    def _token(self, request: Request, app: OAuthApp) -> Reply:
        wanted = base64.b64encode(f"{app.client_id}:{app.client_secret}".encode()).decode()
        if request.method != "POST":
            return Reply.json(405, {"error": "method_not_allowed"})
        if request.headers.get("authorization") != f"Basic {wanted}":
            return Reply.json(401, {"error": "invalid_client"})
        kind = request.headers.get("content-type", "").split(";")[0]
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if kind != "application/x-www-form-urlencoded" or "grant_type" not in form:
            return Reply.json(400, {"error": "invalid_request"})
        if form["grant_type"] != "refresh_token":
            return Reply.json(400, {"error": "unsupported_grant_type"})
        with self._log_lock:
            if form.get("refresh_token") != app.refresh_token:
                return Reply.json(400, {"error": "invalid_grant"})
            access = app.issue()
            if app.rotate:
                app.refresh_token = f"sandbox-refresh-{len(app.access_tokens)}"
            return Reply.json(
                200,
                {
                    "access_token": access,
                    "token_type": "Bearer",
                    "refresh_token": app.refresh_token,
                    "scope": "base deals:read contacts:read admin",
                    "expires_in": app.expires_in,
                    "api_domain": app.api_domain or self.url,
                },
            )

    # Limits

    def _admit(self, client: str) -> tuple[Reply | None, dict[str, str]]:
        if self.burst is None:
            return None, {}
        with self._log_lock:
            now = time.monotonic()
            window = self._windows.setdefault(client, _Window())
            if window.blocked_until > now:
                return Reply(403, CLOUDFLARE, {}, "text/html; charset=UTF-8"), {}
            while window.admitted and window.admitted[0] <= now - WINDOW:
                window.admitted.popleft()
            refused = len(window.admitted) >= self.burst
            if refused:
                window.refused += 1
            else:
                window.admitted.append(now)
                window.refused = 0
            remaining = self.burst - len(window.admitted)
            wait = window.admitted[0] + WINDOW - now if window.admitted else WINDOW
            headers = {
                "x-ratelimit-limit": str(self.burst),
                "x-ratelimit-remaining": str(remaining),
                "x-ratelimit-reset": str(max(1, math.ceil(wait))),
            }
            if not refused:
                return None, headers
            # Only clients with an API token are blocked for not listening.
            if client == "api_token" and window.refused >= self.block_after:
                window.blocked_until = now + self.block_seconds
                window.refused = 0
                return Reply(403, CLOUDFLARE, {}, "text/html; charset=UTF-8"), {}
            return error(429, "request over limit"), headers

    def _spend(self, request: Request, headers: dict[str, str]) -> Reply | None:
        endpoint = ENDPOINTS.get(find(request.path)[0])
        cost = ME_COST if request.path == ME else endpoint.cost if endpoint else 0
        refusal = None
        with self._log_lock:
            if self.daily_tokens is not None:
                if self.daily_used >= self.daily_tokens:
                    refusal, cost = error(429, "request over limit"), 0
                self.daily_used = min(self.daily_tokens, self.daily_used + cost)
                if self.daily_headers:
                    left = self.daily_tokens - self.daily_used
                    headers["x-daily-ratelimit-token-limit"] = str(self.daily_tokens)
                    headers["x-daily-ratelimit-token-remaining"] = str(left)
        self.charge(request, cost)
        return refusal

    # The API

    def _api(self, request: Request) -> Reply:
        path, parent = find(request.path)
        endpoint = ENDPOINTS.get(path)
        if endpoint is None and request.path != ME:
            if RETIRED.fullmatch(request.path):
                return error(self.retired_status, "Gone", "This endpoint was replaced by API v2")
            return error(404, "Not Found")
        if request.method != "GET":
            return error(405, "Method not allowed")
        if endpoint is None:
            return self._me()
        return self._list(request, endpoint, parent)

    def _list(self, request: Request, endpoint: Endpoint, parent: str | None) -> Reply:
        try:
            given = parse(endpoint, request.query)
            return Reply(200, self.lists.read(request.path, endpoint, given, parent))
        except NotFoundError:
            return error(404, f"{endpoint.parent} not found")
        except BadParameterError as problem:
            return error(400, "Bad request", f"Validation failed: {problem}")

    def _me(self) -> Reply:
        with self.company.lock:
            user: dict[str, Any] = dict(next(iter(self.company.tables["users"].values())))
        user |= {
            "company_id": 54235233,
            "company_name": "Fernhill Instruments",
            "company_domain": "fernhill",
            "company_country": "EE",
            "company_industry": "IT Services",
            "language": {"language_code": "en", "country_code": "US"},
        }
        return Reply.json(200, {"success": True, "data": user})

    # The sandbox itself

    def control(self, request: Request) -> Reply:
        """`POST /_sandbox/changes?count=N` edits the company; `GET /_sandbox/stats` counts."""
        if request.path == "/_sandbox/changes" and request.method == "POST":
            count = int(request.params.get("count", "100"))
            with self.company.lock:
                self._changes += 1
                return Reply.json(200, change(self.company, count, self._changes))
        return super().control(request)
