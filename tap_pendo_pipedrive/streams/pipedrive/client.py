"""Pipedrive's HTTP client: host, credentials, rate windows and the daily token budget."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.core.failures import Action, BudgetExhausted, Rule, is_html
from tap_pendo_pipedrive.core.governor import WINDOW, Governor
from tap_pendo_pipedrive.core.http import Client, retry_after
from tap_pendo_pipedrive.settings import PIPEDRIVE_HOST
from tap_pendo_pipedrive.streams.pipedrive.auth import PipedriveOAuth, token_auth

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_pendo_pipedrive.core.http import Answer

#: 429s in a row, a rate window apart, that mean an empty daily budget where no header says so.
WINDOWS_OF_AN_EMPTY_DAY: t.Final = 5
#: A rate window lasts 2 s; an answer that asks for more than this means the day.
LONGEST_WINDOW: t.Final = 300

RULES: t.Final = (
    # Pipedrive, "Rate limiting": clients that ignore 429s are blocked by the firewall.
    Rule(
        (403,),
        Action.FAIL_SERVICE,
        "Pipedrive's firewall blocks this token for a while, after too many requests. Wait before"
        " the next run and lower max_concurrency, here or in other tools that use the token.",
        when=is_html,
    ),
    Rule(
        (403,),
        Action.SKIP_STREAM,
        "the user or app behind {credentials} may not read this. Grant the permission or scope, or"
        " deselect the stream.",
    ),
)
REFRESH: t.Final = Rule(
    (401,),
    Action.REFRESH,
    "Pipedrive does not accept the access token, not even a new one. Check {credentials}.",
)


class PipedriveClient(Client):
    """Sends Pipedrive's requests.

    Args:
        config: The tap's settings.
    """

    def __init__(self, config: Mapping[str, t.Any]) -> None:
        token = config.get("pipedrive_api_token")
        self._oauth = None if token else PipedriveOAuth(config)
        self._host = _host(config)
        self._reserve = config["pipedrive_daily_budget_reserve"]
        self._limited_in_a_row = 0
        self.tokens_left: int | None = None
        self.tokens_a_day: int | None = None
        super().__init__(
            service="Pipedrive",
            credentials="pipedrive_api_token" if token else "the pipedrive_ OAuth settings",
            auth=self._oauth or token_auth(token or ""),
            governor=Governor(config["max_concurrency"]),
            rules=RULES if token else (REFRESH, *RULES),
            timeout=config["request_timeout"],
            max_tries=config["max_retries"],
        )

    @property
    def base_url(self) -> str:
        """The company's host where it is known, else the shared one."""
        if self._host:
            return self._host
        if self._oauth:
            self._oauth.current_token()
            if self._oauth.api_domain:
                return self._oauth.api_domain.rstrip("/")
        return PIPEDRIVE_HOST

    def refresh_credentials(self, answer: Answer) -> bool:
        """Replace an access token that the API rejects."""
        if self._oauth is None:
            return False
        self._oauth.renew(answer.sent)
        return True

    def bill(self) -> str:
        """What the run has cost so far, and what is left of the day where the API tells."""
        left = f"; {self.tokens_left} of {self.tokens_a_day} left today"
        return super().bill() + (left if self.tokens_left is not None else "")

    def before(self) -> None:
        """Stop when the day's tokens come to an end.

        Raises:
            BudgetExhausted: Less than the reserve is left.
        """
        super().before()
        left, limit = self.tokens_left, self.tokens_a_day
        if left is not None and limit and left * 100 < self._reserve * limit:
            raise BudgetExhausted(
                f"{left} of {limit} Pipedrive API tokens are left today, less than the"
                f" {self._reserve} % of pipedrive_daily_budget_reserve. The budget is renewed at"
                " midnight of Pipedrive's server."
            )

    def observe(self, answer: Answer) -> None:
        """Learn from the rate headers.

        ``x-ratelimit-*`` speak of the 2 s window ("Rate limiting"); the daily headers are not
        documented and may be missing.
        """
        super().observe(answer)
        headers = answer.headers
        self.governor.learn(
            _integer(headers.get("x-ratelimit-limit")),
            _integer(headers.get("x-ratelimit-remaining")),
            _integer(headers.get("x-ratelimit-reset")),
        )
        left = _integer(headers.get("x-daily-ratelimit-token-remaining"))
        limit = _integer(headers.get("x-daily-ratelimit-token-limit"))
        with self._lock:
            self.tokens_left = self.tokens_left if left is None else left
            self.tokens_a_day = self.tokens_a_day if limit is None else limit
            if answer.status != 429:  # noqa: PLR2004
                self._limited_in_a_row = 0

    def rate_limited(self, answer: Answer, tries: int) -> float:
        """Wait for the next window, or stop when the day's tokens are spent."""
        del tries
        window = _integer(answer.headers.get("x-ratelimit-reset"))
        wait = retry_after(answer) if window is None else float(window)
        wait = WINDOW if wait is None else wait
        left = _integer(answer.headers.get("x-daily-ratelimit-token-remaining"))
        with self._lock:
            self._limited_in_a_row += 1
            in_a_row = self._limited_in_a_row
        lasting = left is None and in_a_row >= WINDOWS_OF_AN_EMPTY_DAY
        if left == 0 or wait >= LONGEST_WINDOW or lasting:
            raise BudgetExhausted(
                "Pipedrive's API tokens of the day are used up. The budget is renewed at midnight"
                " of Pipedrive's server."
            )
        return max(wait, 0.5)


def _host(config: Mapping[str, t.Any]) -> str | None:
    if url := config.get("pipedrive_api_url"):
        return t.cast("str", url).rstrip("/")
    if domain := config.get("pipedrive_company_domain"):
        return f"https://{domain}.pipedrive.com"
    return None


def _integer(value: str | None) -> int | None:
    try:
        return None if value is None else int(float(value))
    except ValueError:
        return None
