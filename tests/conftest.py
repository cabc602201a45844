"""Fixtures that every test may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.core.redaction import redact
from tests.sandbox.company import Company
from tests.sandbox.pendo import PendoServer
from tests.sandbox.pipedrive import PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The redactor is one for the process; what it learned elsewhere would mask expected texts."""
    monkeypatch.setattr(redact, "_secrets", ())


@pytest.fixture
def company() -> Company:
    """A small company of its own for each test, which may edit it."""
    return Company(scale=0.02)


@pytest.fixture
def pipedrive(company: Company) -> Iterator[PipedriveServer]:
    """A Pipedrive of that company."""
    with PipedriveServer(company) as server:
        yield server


@pytest.fixture
def pendo(company: Company) -> Iterator[PendoServer]:
    """A Pendo of that company."""
    with PendoServer(company) as server:
        yield server


@pytest.fixture
def pipedrive_config(pipedrive: PipedriveServer) -> dict[str, Any]:
    """Settings that reach the sandbox's Pipedrive."""
    return {"pipedrive_api_token": pipedrive.token, "pipedrive_api_url": pipedrive.url}


@pytest.fixture
def pendo_config(pendo: PendoServer) -> dict[str, Any]:
    """Settings that reach the sandbox's Pendo."""
    return {"pendo_integration_key": pendo.key, "pendo_api_url": pendo.url}


@pytest.fixture
def config(pipedrive_config: dict[str, Any], pendo_config: dict[str, Any]) -> dict[str, Any]:
    """Settings that reach both."""
    return pipedrive_config | pendo_config
