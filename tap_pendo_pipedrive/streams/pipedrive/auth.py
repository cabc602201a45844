"""Pipedrive's two ways to authenticate: an API token, or OAuth with a refresh token."""

from __future__ import annotations

import logging
import threading
import time
import typing as t

import backoff
import requests
from singer_sdk.authenticators import APIKeyAuthenticator, OAuthAuthenticator

from tap_pendo_pipedrive.core.failures import Retry, ServiceFailed
from tap_pendo_pipedrive.core.http import CONNECT_TIMEOUT, LONGEST_DELAY
from tap_pendo_pipedrive.core.redaction import redact
from tap_pendo_pipedrive.settings import check_url

if t.TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("tap-pendo-pipedrive.auth")

#: Seconds before its end from which an access token is no longer used: a request may travel long.
EARLY: t.Final = 120
SERVER_ERROR: t.Final = 500
TOO_MANY: t.Final = 429


def token_auth(token: str) -> APIKeyAuthenticator:
    """Authenticate by the header that Pipedrive's API reference names, never by the URL."""
    return APIKeyAuthenticator(key="x-api-token", value=token, location="header")


class PipedriveOAuth(OAuthAuthenticator):
    """Keeps an access token fresh for many threads.

    One thread refreshes while the others wait. A refresh token that the server replaces serves
    for the rest of the run. The token answer also names the company's host.

    Source: Pipedrive, "OAuth authorization" (expires_in 3599 s; refresh tokens live 60 days).

    Args:
        config: The tap's settings.
    """

    def __init__(self, config: Mapping[str, t.Any]) -> None:
        super().__init__(
            client_id=config["pipedrive_client_id"],
            client_secret=config["pipedrive_client_secret"],
            auth_endpoint=f"{config['pipedrive_oauth_url'].rstrip('/')}/oauth/token",
        )
        self.refresh_token = config["pipedrive_refresh_token"]
        self.api_domain: str | None = None
        self._timeout = (CONNECT_TIMEOUT, config["request_timeout"])
        self._max_tries = max(1, config["max_retries"])
        self._lock = threading.Lock()
        self._good_until = 0.0
        self._renewed_at = 0.0

    def is_token_valid(self) -> bool:
        """Whether the access token still serves for a while."""
        return self.access_token is not None and time.monotonic() < self._good_until

    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the access token, after a refresh if it is about to end."""
        request.headers["Authorization"] = f"Bearer {self.current_token()}"
        return request

    def current_token(self) -> str:
        """Return a valid access token; the first caller refreshes, the others wait."""
        with self._lock:
            if not self.is_token_valid():
                self.update_access_token()
            return t.cast("str", self.access_token)

    def renew(self, sent: float) -> None:
        """Replace the access token unless that was done since a rejected request was sent.

        Args:
            sent: When that request was sent, in monotonic seconds.
        """
        with self._lock:
            if self._renewed_at <= sent:
                self.update_access_token()

    def update_access_token(self) -> None:
        """Ask the token server for a new access token.

        Raises:
            ServiceFailed: The server refuses, or does not answer.
        """
        ask = backoff.on_exception(
            backoff.expo, Retry, max_value=LONGEST_DELAY, max_tries=self._max_tries, logger=None
        )(self._ask)
        try:
            answer = ask()
        except Retry as retry:
            raise retry.failure from None
        rotated = answer.get("refresh_token")
        redact.add((answer["access_token"], rotated))
        api_domain = answer.get("api_domain") or self.api_domain
        if errors := check_url("api_domain", api_domain):
            raise ServiceFailed(
                f"Pipedrive: the token server names a host that the tap does not trust: {errors[0]}"
                " Set pipedrive_company_domain."
            )
        self.api_domain = api_domain
        self.access_token = answer["access_token"]
        lifetime = float(answer.get("expires_in") or 3599)
        self._renewed_at = time.monotonic()
        # A token with a very short life is used for half of it.
        self._good_until = self._renewed_at + max(lifetime - EARLY, lifetime / 2)
        if rotated and rotated != self.refresh_token:
            self.refresh_token = rotated
            logger.warning(
                "Pipedrive replaced the refresh token. The new one serves for the rest of this"
                " run; update pipedrive_refresh_token before the next one."
            )

    def _ask(self) -> dict[str, t.Any]:
        where = f"token server {self.auth_endpoint}"
        try:
            response = requests.post(
                self.auth_endpoint,
                data={"grant_type": "refresh_token", "refresh_token": self.refresh_token},
                auth=(self.client_id or "", self.client_secret or ""),
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            failure = ServiceFailed(
                f"Pipedrive: no answer from the {where} ({type(error).__name__})."
                " Check the network and pipedrive_oauth_url."
            )
            raise Retry(failure, 0) from None
        if response.status_code >= SERVER_ERROR or response.status_code == TOO_MANY:
            failure = ServiceFailed(
                f"Pipedrive: the {where} answers HTTP {response.status_code}. Run again later."
            )
            raise Retry(failure, 0)
        try:
            answer = response.json() if response.ok else {}
        except ValueError:
            answer = {}
        if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            raise ServiceFailed(
                f"Pipedrive: the {where} gives no access token (HTTP {response.status_code}). Check"
                " pipedrive_client_id, pipedrive_client_secret and pipedrive_refresh_token; a"
                " refresh token ends after 60 days without use."
            )
        return answer
