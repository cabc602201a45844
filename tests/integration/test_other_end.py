"""A hostile or broken other end: certificates that nobody vouches for, bodies without end."""

from __future__ import annotations

import gzip
import logging
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.core import http
from tests import harness
from tests.harness import Tables
from tests.integration import expected
from tests.sandbox import Company, Fault, OAuthApp, PendoServer, PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Sync
    from tests.sandbox.server import Request

PERSONS = "/api/v2/persons"
PAGES = "/api/v1/page"
# Its own authority, for 127.0.0.1 and no name, until 2126. The key guards nothing.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBnDCCAUKgAwIBAgIUGcx8R0tkJvj3OmKnEtJ+A6q2xSYwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHc2FuZGJveDAgFw0yNjExMjEwOTU4MDlaGA8yMTI2MTAyODA5
NTgwOVowEjEQMA4GA1UEAwwHc2FuZGJveDBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABJ1TyhJH72Av1SCilsJMd5aTk4r3HAuvBx0LIvbfjto+Qnv2X5a06Ufcq9LJ
fSbfK+CiAXAJZNYOJDggsKQ7c42jdDByMB0GA1UdDgQWBBQS48w5bbh8+y1eXND+
lN8Q8tthujAfBgNVHSMEGDAWgBQS48w5bbh8+y1eXND+lN8Q8tthujAPBgNVHREE
CDAGhwR/AAABMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKEMAoGCCqG
SM49BAMCA0gAMEUCIAedegQpkJhMDlYXuRMUkekRxdGyjuATBNolytDzukcxAiEA
iCEHQQnhXRmIkkgOWpg8uGwfISbpHRB4KinlNXRi7TE=
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrwSqcwb0nE+va66m
CmFqNf5mvwT+4vn3cdMzL8lME7ChRANCAASdU8oSR+9gL9UgopbCTHeWk5OK9xwL
rwcdCyL2347aPkJ79l+WtOlH3KvSyX0m3yvgogFwCWTWDiQ4ILCkO3ON
-----END PRIVATE KEY-----
"""


@pytest.fixture
def authority(tmp_path: Path) -> str:
    """The certificate's file, as REQUESTS_CA_BUNDLE takes it."""
    path = tmp_path / "authority.pem"
    path.write_text(CERTIFICATE)
    return str(path)


@pytest.fixture
def secure(company: Company, authority: str, tmp_path: Path) -> Iterator[PipedriveServer]:
    """A Pipedrive behind TLS."""
    key = tmp_path / "key.pem"
    key.write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, str(key))
    server = PipedriveServer(company)
    # The handshake in the connection's own thread: one that fails must not end the server.
    server._http.socket = context.wrap_socket(
        server._http.socket, server_side=True, do_handshake_on_connect=False
    )
    with server:
        yield server


@pytest.fixture
def secure_config(secure: PipedriveServer) -> dict[str, Any]:
    return {
        "pipedrive_api_token": secure.token,
        "pipedrive_api_url": secure.url.replace("http:", "https:"),
    }


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def messages(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)


@pytest.mark.usefixtures("clock")
def test_a_certificate_that_nobody_vouches_for_fails_the_service(
    *,
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    secure: PipedriveServer,
    secure_config: dict[str, Any],
    pendo_config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = harness.run_tap(monkeypatch, pendo_config | secure_config)
    assert run.exit_code == 1
    assert "REQUESTS_CA_BUNDLE" in messages(caplog)
    assert "127.0.0.1" in messages(caplog)
    # Not a byte of a request, let alone a token, left before the certificate was known.
    assert secure.requests == []
    expected.check(Tables().load(run.messages), company, expected.PENDO)


def test_a_bundle_with_the_authority_is_honoured(
    *,
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    authority: str,
    secure: PipedriveServer,
    secure_config: dict[str, Any],
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
    run = harness.run_tap(monkeypatch, secure_config)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company, expected.PIPEDRIVE)
    assert secure.errors == []


def test_a_certificate_for_another_host_is_refused(
    *,
    monkeypatch: pytest.MonkeyPatch,
    authority: str,
    secure: PipedriveServer,
    secure_config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As for someone who sits between, with a certificate that is fine for a host of theirs."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
    url = secure_config["pipedrive_api_url"].replace("127.0.0.1", "localhost")
    run = harness.run_tap(monkeypatch, secure_config | {"pipedrive_api_url": url, "max_retries": 1})
    assert run.exit_code == 1
    assert "certificate" in messages(caplog)
    assert secure.requests == []


# Limits.


def nested(depth: int) -> bytes:
    return b'{"success":true,"data":[{"id":1,"x":' + b"[" * depth + b"]" * depth + b"}]}"


@pytest.mark.parametrize("depth", [1_000, 200_000])
@pytest.mark.parametrize("where", ["row", "pendo row", "error"])
def test_deep_nesting_ends_in_an_error(
    *,
    where: str,
    depth: int,
    sync_only: Sync,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = PAGES if where == "pendo row" else PERSONS
    stream = "pendo_pages" if where == "pendo row" else "pipedrive_persons"
    body = nested(depth)
    if where == "pendo row":
        body = body[body.index(b"[") : -1]
    status = 400 if where == "error" else 200

    def deep(request: Request) -> Fault | None:
        return Fault(status=status, body=body) if request.path == path else None

    pipedrive.fault = pendo.fault = deep
    run = sync_only(stream, max_retries=2)
    if where != "error" and depth == 1_000 and run.exit_code == 0:
        assert run.records(stream)
        return
    assert run.exit_code == 1
    assert stream in run.error
    assert path in messages(caplog)


@pytest.mark.parametrize(
    ("path", "stream"), [(PERSONS, "pipedrive_persons"), (PAGES, "pendo_pages")]
)
def test_a_body_beyond_the_limit_is_not_read_to_its_end(
    *,
    path: str,
    stream: str,
    sync_only: Sync,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "LARGEST_BODY", 1 << 20)

    def huge(request: Request) -> Fault | None:
        if request.path != path:
            return None
        return Fault(status=200, body=b'{"success":true,"data":[' + b" " * (64 << 20))

    pipedrive.fault = pendo.fault = huge
    start = time.monotonic()
    run = sync_only(stream, max_retries=3)
    assert run.exit_code == 1
    assert "1 MiB" in messages(caplog)
    assert path in messages(caplog)
    asked = [r for r in (*pipedrive.requests, *pendo.requests) if r.path == path]
    assert len(asked) == 1, "a body that is too large does not get smaller by asking again"
    assert time.monotonic() - start < 5


def test_a_body_just_within_the_limit_is_read(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def note(body: bytes) -> bytes:
        sizes.append(len(body))
        return body

    pipedrive.fault = lambda r: Fault(mutate=note) if r.path == PERSONS else None
    assert sync_only("pipedrive_persons").exit_code == 0
    monkeypatch.setattr(http, "LARGEST_BODY", max(sizes))
    run = sync_only("pipedrive_persons")
    assert run.exit_code == 0
    expected.check(Tables().load(run.messages), company, ["pipedrive_persons"])
    monkeypatch.setattr(http, "LARGEST_BODY", max(sizes) - 1)
    assert sync_only("pipedrive_persons").exit_code == 1


def test_a_compressed_body_counts_as_what_it_holds(
    sync_only: Sync, pipedrive: PipedriveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes may hold gigabytes."""
    monkeypatch.setattr(http, "LARGEST_BODY", 1 << 20)
    bomb = gzip.compress(b'{"success":true,"data":[' + b" " * (8 << 20) + b"]}")
    assert len(bomb) < 1 << 14
    pipedrive.fault = lambda r: (
        Fault(status=200, body=bomb, headers={"Content-Encoding": "gzip"})
        if r.path == PERSONS
        else None
    )
    run = sync_only("pipedrive_persons", max_retries=2)
    assert run.exit_code == 1
    assert len([r for r in pipedrive.requests if r.path == PERSONS]) == 1


@pytest.mark.parametrize("entry", ["machine 127.0.0.1", "default"])
def test_netrc_does_not_replace_oauth(
    entry: str, company: Company, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its entry would take the place of the same header that OAuth uses."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"{entry} login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    app = OAuthApp()
    with PipedriveServer(company, token=None, oauth=app) as server:
        config = {
            "pipedrive_api_url": server.url,
            "pipedrive_oauth_url": server.url,
            "pipedrive_client_id": app.client_id,
            "pipedrive_client_secret": app.client_secret,
            "pipedrive_refresh_token": app.refresh_token,
        }
        assert harness.run_tap(monkeypatch, config).exit_code == 0
        assert {request.status for request in server.requests} == {200}
