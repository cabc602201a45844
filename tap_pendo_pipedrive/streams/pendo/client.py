"""Pendo's HTTP client: host by region, integration key."""

from __future__ import annotations

import typing as t

from singer_sdk.authenticators import APIKeyAuthenticator

from tap_pendo_pipedrive.core.failures import Action, Rule
from tap_pendo_pipedrive.core.governor import Governor
from tap_pendo_pipedrive.core.http import Client
from tap_pendo_pipedrive.settings import PENDO_HOSTS

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_pendo_pipedrive.core.http import Answer, Request

_REGION: t.Final = (
    "Check {credentials}, and whether pendo_region is the subscription's: a key of another region"
    " is unknown at {host}."
)


def _is_rate_limited(answer: Answer, _request: Request) -> bool:
    return b"ratelimitexceeded" in answer.beginning.lower()


RULES: t.Final = (
    # Seen once by a third party instead of a 429; Pendo documents 429 only.
    Rule((403,), Action.RETRY, "Pendo limits the rate of requests.", when=_is_rate_limited),
    Rule((401, 403), Action.FAIL_SERVICE, f"Pendo does not accept the key. {_REGION}"),
    Rule(
        (400, 422),
        Action.FAIL_STREAM,
        f"Pendo refuses the request. If every stream fails so: {_REGION}",
    ),
)


class PendoClient(Client):
    """Sends Pendo's requests.

    Args:
        config: The tap's settings.
    """

    def __init__(self, config: Mapping[str, t.Any]) -> None:
        host = config.get("pendo_api_url") or PENDO_HOSTS[config["pendo_region"]]
        self._host: str = host.rstrip("/")
        super().__init__(
            service="Pendo",
            credentials="pendo_integration_key",
            auth=APIKeyAuthenticator(
                key="x-pendo-integration-key",
                value=config["pendo_integration_key"],
                location="header",
            ),
            governor=Governor(config["max_concurrency"]),
            rules=RULES,
            timeout=config["request_timeout"],
            max_tries=config["max_retries"],
        )

    @property
    def base_url(self) -> str:
        """The region's host."""
        return self._host
