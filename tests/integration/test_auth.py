"""Who the tap says it is: API token, OAuth with refreshes, Pendo's key and region."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from urllib3.util import connection

from tests import harness
from tests.harness import Run, Tables, log_text
from tests.integration import expected
from tests.integration.expected import PENDO, PIPEDRIVE
from tests.sandbox import Company, Fault, OAuthApp, PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Sync
    from tests.sandbox import PendoServer
    from tests.sandbox.server import Request

TOKEN_PATH = "/oauth/token"


@pytest.fixture
def app() -> OAuthApp:
    return OAuthApp(client_secret="cs-SECRET", refresh_token="rt-SECRET-0")


@pytest.fixture
def oauth(company: Company, app: OAuthApp) -> Iterator[PipedriveServer]:
    """A Pipedrive that takes OAuth only, and is its own token server."""
    with PipedriveServer(company, token=None, oauth=app) as server:
        yield server


@pytest.fixture
def oauth_config(app: OAuthApp, oauth: PipedriveServer, pendo_config: dict[str, Any]) -> Any:
    return pendo_config | {
        "pipedrive_client_id": app.client_id,
        "pipedrive_client_secret": app.client_secret,
        "pipedrive_refresh_token": app.refresh_token,
        "pipedrive_oauth_url": oauth.url,
    }


def run_tap(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], **extra: Any) -> Run:
    return harness.run_tap(monkeypatch, config | extra)


def refreshes(server: PipedriveServer) -> list[Request]:
    return [request for request in server.requests if request.path == TOKEN_PATH]


def said(run: Run, caplog: pytest.LogCaptureFixture) -> str:
    """Warnings and errors in the log, and the last words."""
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return "\n".join([*(record.getMessage() for record in records), run.error])


def assert_pendo_is_complete(run: Run, company: Company) -> None:
    expected.check(Tables().load(run.messages), company, PENDO)


# API token.


def test_wrong_api_token_fails_pipedrive_only(
    sync: Sync, company: Company, pipedrive: PipedriveServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = sync(pipedrive_api_token="wrong")
    assert run.exit_code == 1
    assert "pipedrive_api_token" in said(run, caplog)
    assert_pendo_is_complete(run, company)
    assert run.records("pipedrive_deals") == []
    assert {request.status for request in pipedrive.requests} == {401}
    # One answer is enough to know; others may have been on their way.
    assert len(pipedrive.requests) <= 6


def test_wrong_api_token_ends_discovery(config: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="pipedrive_api_token"):
        harness.discover(config | {"pipedrive_api_token": "wrong"})


# OAuth.


def test_oauth_refreshes_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch, oauth_config: Any, oauth: PipedriveServer, company: Company
) -> None:
    run = run_tap(monkeypatch, oauth_config)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company)
    assert oauth.requests[0].path == TOKEN_PATH
    assert len(refreshes(oauth)) == 1
    assert {request.status for request in oauth.requests} == {200}
    assert "x-api-token" not in {name for request in oauth.requests for name in request.headers}


def test_oauth_secrets_travel_in_the_header_and_the_form_only(
    monkeypatch: pytest.MonkeyPatch, oauth_config: Any, oauth: PipedriveServer
) -> None:
    run_tap(monkeypatch, oauth_config)
    [request] = refreshes(oauth)
    assert request.method == "POST"
    assert request.query == []
    assert request.headers["authorization"].startswith("Basic ")
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["rt-SECRET-0"],
    }


def test_token_is_refreshed_before_it_ends_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    app: OAuthApp,
    company: Company,
) -> None:
    app.expires_in = 1
    oauth.latency = 0.08
    pause = 0.1
    oauth.fault = lambda r: Fault(delay=pause) if r.path == TOKEN_PATH else None
    run = run_tap(monkeypatch, oauth_config, max_concurrency=4)
    assert run.exit_code == 0
    expected.check(Tables().load(run.messages), company, PIPEDRIVE)
    times = [request.time for request in refreshes(oauth)]
    assert len(times) >= 2
    assert all(later - earlier > pause for earlier, later in itertools.pairwise(times))
    assert 401 not in {request.status for request in oauth.requests}


def test_rejected_token_is_replaced_once_and_the_requests_sent_again(
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    app: OAuthApp,
    company: Company,
) -> None:
    """Several requests are rejected at once; one refresh serves them all."""
    expired = False

    def expire(request: Request) -> None:
        nonlocal expired
        if request.path == "/v1/currencies" and not expired:
            expired = True
            app.expire()

    oauth.latency = 0.05
    oauth.before_answer = expire
    run = run_tap(monkeypatch, oauth_config)
    assert run.exit_code == 0
    expected.check(Tables().load(run.messages), company)
    assert len(refreshes(oauth)) == 2
    assert 1 <= len([request for request in oauth.requests if request.status == 401]) <= 6


def test_second_rejection_fails_the_service(
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    company: Company,
    caplog: pytest.LogCaptureFixture,
) -> None:
    oauth.fault = lambda r: None if r.path == TOKEN_PATH else Fault(status=401)
    run = run_tap(monkeypatch, oauth_config)
    assert run.exit_code == 1
    assert "OAuth" in said(run, caplog)
    assert "pipedrive_" in said(run, caplog)
    assert_pendo_is_complete(run, company)
    assert len(refreshes(oauth)) <= 3
    assert len(oauth.requests) <= 20


@pytest.mark.parametrize(
    "wrong", ["pipedrive_client_id", "pipedrive_client_secret", "pipedrive_refresh_token"]
)
def test_refused_refresh_names_the_settings(
    *,
    wrong: str,
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    company: Company,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = run_tap(monkeypatch, oauth_config, **{wrong: "wrong"})
    assert run.exit_code == 1
    assert wrong in said(run, caplog)
    assert "60 days" in said(run, caplog)
    assert_pendo_is_complete(run, company)
    assert {request.path for request in oauth.requests} == {TOKEN_PATH}
    assert len(oauth.requests) <= 6


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(drop=True), Fault(status=429), Fault(status=502, body="<p>")]
)
def test_token_server_with_a_passing_problem(
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    company: Company,
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    oauth.fault = lambda r: fault if r.path == TOKEN_PATH and r.number == 1 else None
    run = run_tap(monkeypatch, oauth_config)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company, PIPEDRIVE)
    assert len(refreshes(oauth)) == 2


@pytest.mark.parametrize(
    "fault", [Fault(garbage=True), Fault(status=200, body={}), Fault(status=200, body=[1])]
)
def test_token_server_with_an_odd_answer(
    *,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    company: Company,
    caplog: pytest.LogCaptureFixture,
) -> None:
    oauth.fault = lambda r: fault if r.path == TOKEN_PATH else None
    run = run_tap(monkeypatch, oauth_config)
    assert run.exit_code == 1
    assert "pipedrive_refresh_token" in said(run, caplog)
    assert_pendo_is_complete(run, company)


def test_replaced_refresh_token_serves_for_the_rest_of_the_run(
    *,
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    app: OAuthApp,
    company: Company,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.rotate = True
    expired: set[str] = set()

    def expire(request: Request) -> None:
        if request.path in {"/v1/currencies", "/v1/users"} - expired:
            expired.add(request.path)
            app.expire()

    oauth.before_answer = expire
    run = run_tap(monkeypatch, oauth_config, max_concurrency=1)
    assert (run.exit_code, run.error) == (0, "")
    expected.check(Tables().load(run.messages), company, PIPEDRIVE)
    used = [parse_qs(r.body.decode())["refresh_token"][0] for r in refreshes(oauth)]
    assert len(used) == len(set(used)) == 3
    assert used[0] == "rt-SECRET-0"
    warnings = said(run, caplog)
    assert "pipedrive_refresh_token" in warnings
    for token in [*used, app.refresh_token, *app.access_tokens]:
        assert token not in log_text(caplog)


def test_host_is_the_api_domain_of_the_token_answer(
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    app: OAuthApp,
    company: Company,
) -> None:
    with PipedriveServer(company, token=None, oauth=app) as host:
        app.api_domain = host.url
        run = run_tap(monkeypatch, oauth_config)
        assert (run.exit_code, run.error) == (0, "")
        assert len(host.requests) > 20
        assert {request.path for request in host.requests} & {TOKEN_PATH} == set()
    assert {request.path for request in oauth.requests} == {TOKEN_PATH}
    expected.check(Tables().load(run.messages), company, PIPEDRIVE)


def test_api_url_wins_over_the_api_domain(
    monkeypatch: pytest.MonkeyPatch,
    oauth_config: Any,
    oauth: PipedriveServer,
    app: OAuthApp,
) -> None:
    app.api_domain = "http://127.0.0.1:9"
    run = run_tap(monkeypatch, oauth_config, pipedrive_api_url=oauth.url + "/")
    assert (run.exit_code, run.error) == (0, "")
    assert "/v1/users" in {request.path for request in oauth.requests}


def test_api_domain_without_tls_gets_no_token(
    monkeypatch: pytest.MonkeyPatch, oauth_config: Any, app: OAuthApp
) -> None:
    """Plain http is for this machine only, wherever the address comes from."""
    app.api_domain = "http://pipedrive.invalid"
    asked: list[str] = []

    def connect(address: tuple[str, int], *_args: Any, **_kwargs: Any) -> Any:
        asked.append(address[0])
        raise OSError

    real = connection.create_connection
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection",
        lambda address, *args, **kwargs: (
            real(address, *args, **kwargs)
            if address[0] == "127.0.0.1"
            else connect(address, *args, **kwargs)
        ),
    )
    run = run_tap(monkeypatch, oauth_config, max_retries=1)
    assert run.exit_code == 1
    assert "pipedrive.invalid" not in asked


# Pendo.


def test_wrong_pendo_key_names_the_key_and_the_region(
    sync: Sync, company: Company, pendo: PendoServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = sync(pendo_integration_key="wrong", pendo_region="eu")
    assert run.exit_code == 1
    assert "pendo_integration_key" in said(run, caplog)
    assert "pendo_region" in said(run, caplog)
    assert all(stream in run.error for stream in PENDO)
    expected.check(Tables().load(run.messages), company, PIPEDRIVE)
    assert {request.status for request in pendo.requests} == {403}
    assert len(pendo.requests) <= 4


def test_pendo_401_fails_the_service_too(
    sync: Sync, company: Company, pendo: PendoServer, caplog: pytest.LogCaptureFixture
) -> None:
    pendo.fault = lambda _r: Fault(status=401, body={"message": "unauthorized"})
    run = sync()
    assert run.exit_code == 1
    assert "pendo_integration_key" in said(run, caplog)
    expected.check(Tables().load(run.messages), company, PIPEDRIVE)


@pytest.mark.parametrize("url", ["pipedrive_api_url", "pendo_api_url"])
def test_slash_at_the_end_of_an_url(url: str, sync: Sync, config: dict[str, Any]) -> None:
    assert sync(**{url: config[url] + "/"}).exit_code == 0


def test_netrc_does_not_replace_the_credentials(
    sync: Sync, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, pipedrive: PipedriveServer
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert sync().exit_code == 0
    assert "authorization" not in {name for r in pipedrive.requests for name in r.headers}
