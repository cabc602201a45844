"""Credentials are nowhere but in the headers and forms that carry them, whatever goes wrong."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.harness import run_command
from tests.sandbox import Company, Fault, OAuthApp, PendoServer, PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sandbox.server import Request

TOKEN = "tok-SECRET-1/23+ab=cd"
KEY = "key-SECRET-456.7890"
CLIENT, CLIENT_SECRET, REFRESH = "app-SECRET-1", "cs-SECRET-2", "rt-SECRET-3"
#: A part of every credential; a cut or encoded one is found by it too.
MARK = "SECRET"


@pytest.fixture
def app() -> OAuthApp:
    return OAuthApp(CLIENT, CLIENT_SECRET, REFRESH)


@pytest.fixture
def own_pipedrive(company: Company, app: OAuthApp) -> Iterator[PipedriveServer]:
    with PipedriveServer(company, token=TOKEN, oauth=app) as server:
        yield server


@pytest.fixture
def own_pendo(company: Company) -> Iterator[PendoServer]:
    with PendoServer(company, key=KEY) as server:
        yield server


def by_token(pipedrive: PipedriveServer, pendo: PendoServer) -> dict[str, Any]:
    return {
        "pipedrive_api_token": TOKEN,
        "pipedrive_api_url": pipedrive.url,
        "pendo_integration_key": KEY,
        "pendo_api_url": pendo.url,
        "max_retries": 2,
        "request_timeout": 1,
    }


def by_oauth(pipedrive: PipedriveServer, pendo: PendoServer) -> dict[str, Any]:
    config = by_token(pipedrive, pendo)
    del config["pipedrive_api_token"]
    return config | {
        "pipedrive_client_id": CLIENT,
        "pipedrive_client_secret": CLIENT_SECRET,
        "pipedrive_refresh_token": REFRESH,
        "pipedrive_oauth_url": pipedrive.url,
    }


def echo(request: Request, status: int) -> Fault:
    """An error that repeats the credentials of the request in each place that messages quote."""
    sent = " ".join(
        value
        for name, value in request.headers.items()
        if name in {"x-api-token", "authorization", "x-pendo-integration-key"}
    )
    body = {"success": False, "error": f"bad {sent}", "error_info": quote(sent), "message": sent}
    return Fault(status=status, body=body, headers={"x-echo": sent.strip(), "Retry-After": "0.01"})


def plain_echo(request: Request, *, before: int = 0) -> Fault:
    """The same as a text, with the credential where a cut for the message may go through it."""
    sent = request.headers.get("x-api-token", request.headers.get("authorization", ""))
    headers = {"Retry-After": "0.01"}
    return Fault(status=500, body=(" " * before + sent).encode(), headers=headers)


FAULTS: dict[str, Callable[[Request], Fault]] = {
    "/api/v2/persons": lambda r: echo(r, 500),
    "/api/v2/activities": lambda _: Fault(drop=True),
    "/api/v2/organizations": lambda r: echo(r, 400),
    "/api/v2/deals": lambda _: Fault(truncate=50),
    "/api/v2/deals/archived": lambda _: Fault(garbage=True),
    "/api/v2/products": lambda r: echo(r, 404),
    "/api/v2/personFields": lambda r: echo(r, 403),
    "/v1/notes": lambda r: echo(r, 403),
    "/v1/files": lambda r: echo(r, 402),
    "/v1/filters": lambda r: echo(r, 200),
    "/v1/users": plain_echo,
    "/v1/currencies": lambda r: plain_echo(r, before=792),
    "/v1/leads": lambda r: plain_echo(r, before=190),
    "/v1/activityTypes": lambda r: Fault(
        status=200, body=json.dumps({"success": r.headers["host"], TOKEN: TOKEN})
    ),
    "/api/v1/page": lambda r: echo(r, 500),
    "/api/v1/feature": lambda r: echo(r, 400),
    "/api/v1/guide": lambda r: Fault(status=200, body=json.dumps([KEY])),
    "/api/v1/report": lambda _: Fault(drop=True),
}


def each(request: Request) -> Fault | None:
    fault = FAULTS.get(request.path)
    return fault(request) if fault else None


def refuse(request: Request) -> Fault | None:
    return None if request.path == "/oauth/token" else echo(request, 401)


def refuse_refresh(request: Request) -> Fault | None:
    if request.path != "/oauth/token":
        return None
    sent = request.headers["authorization"] + " " + request.body.decode()
    body = {"error": "invalid_grant", "message": f"{sent} {CLIENT_SECRET} {REFRESH}"}
    return Fault(status=400, body=body)


def block(request: Request) -> Fault:
    sent = request.headers.get("x-api-token", request.headers.get("authorization"))
    return Fault(status=403, body=f"<title>{sent}</title>")


def redirect(request: Request) -> Fault | None:
    if request.path == "/oauth/token":
        return None
    sent = request.headers.get("x-api-token", request.headers.get("authorization", ""))
    return Fault(redirect=f"http://127.0.0.1:9/?api_token={quote(sent)}")


BAD_DAYS = (None, each, refuse, block, redirect)


@pytest.mark.parametrize(
    ("auth", "fault"),
    [*itertools.product((by_token, by_oauth), BAD_DAYS), (by_oauth, refuse_refresh)],
)
def test_credentials_are_nowhere(
    *,
    fault: Callable[[Request], Fault | None] | None,
    auth: Callable[[PipedriveServer, PendoServer], dict[str, Any]],
    own_pipedrive: PipedriveServer,
    own_pendo: PendoServer,
    app: OAuthApp,
    tmp_path: Path,
) -> None:
    app.rotate = True
    app.expires_in = 2
    own_pipedrive.fault = own_pendo.fault = fault
    config = auth(own_pipedrive, own_pendo)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    env = {**os.environ, "TAP_PENDO_PIPEDRIVE_LOGLEVEL": "DEBUG", "SINGER_SDK_LOGLEVEL": "DEBUG"}
    result = run_command("--config", str(file), env=env)
    assert result.returncode == (0 if fault is None else 1), result.stderr[-2000:]
    assert "DEBUG" in result.stderr
    credentials = {MARK, quote(TOKEN), quote(TOKEN, safe=""), TOKEN[:8], "api_token="}
    for text in (result.stdout, result.stderr):
        assert [secret for secret in credentials if secret in text] == []
        # Access tokens are long; a piece of one would do harm too.
        assert [token for token in app.access_tokens if token[:40] in text] == []
        assert "sandbox-refresh-" not in text
    for server in (own_pipedrive, own_pendo):
        for request in server.requests:
            address = request.path + repr(request.query)
            assert MARK not in address
            assert not [token for token in app.access_tokens if token in address]


def test_credentials_are_not_in_about(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"pipedrive_api_token": TOKEN, "pendo_integration_key": KEY}))
    result = run_command("--config", str(file), "--about", "--format=json")
    assert result.returncode == 0
    assert MARK not in result.stdout + result.stderr


def test_credentials_in_the_environment_are_not_logged(
    own_pipedrive: PipedriveServer, own_pendo: PendoServer
) -> None:
    config = by_token(own_pipedrive, own_pendo)
    names = {f"TAP_PENDO_PIPEDRIVE_{name.upper()}": str(value) for name, value in config.items()}
    own_pipedrive.fault = refuse
    level = {"TAP_PENDO_PIPEDRIVE_LOGLEVEL": "DEBUG"}
    result = run_command("--config=ENV", env={**os.environ, **names, **level})
    assert result.returncode == 1
    assert MARK not in result.stdout + result.stderr
