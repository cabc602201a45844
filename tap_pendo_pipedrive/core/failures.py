"""What can go wrong with a request, and what the tap does about it.

An API's answer (or the exception in its place) is looked up in a table of :class:`Rule` rows, the
service's own rows first; the first row that matches decides. :data:`COMMON` holds what every HTTP
API shares. Each action is one of the exceptions below, so that callers say what they mean with
``except``.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as t

import click

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_pendo_pipedrive.core.http import Answer, Request


class TapError(click.ClickException):
    """Base of the tap's own errors. The message is meant for the user and holds no secret.

    On the command line it ends the tap with exit code 1 and the message instead of a traceback.
    """


class StreamFailed(TapError):
    """This stream cannot be read to its end. The others go on; the exit code is 1."""


class TemporarilyFailed(StreamFailed):
    """As its base, but a smaller request might have been answered."""


class StreamForbidden(TapError):
    """The credentials may not read this stream. It is skipped."""


class ServiceFailed(TapError):
    """No stream of this service can be read, for example because its key is not valid."""


class ParentGone(TapError):
    """The parent of a child request no longer exists. Its children are skipped."""


class BudgetExhausted(TapError):
    """The API budget is used up. The run stops cleanly and the next one continues."""


class Retry(Exception):
    """The request is worth another try.

    Attributes:
        delay: Seconds to wait before the next try.
        failure: What to raise when no tries are left.
    """

    def __init__(self, failure: TapError, delay: float) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.delay = delay


class Action(enum.Enum):
    """What to do about a failed request."""

    RETRY = "try again after a growing pause"
    WAIT = "pause every request of the service until the rate window is over, then try again"
    REFRESH = "get a new access token once, then try again"
    SKIP_STREAM = "skip the stream with a warning"
    SKIP_PARENT = "skip this parent's children"
    STOP = "stop the service's streams cleanly; the next run continues"
    FAIL_STREAM = "fail the stream; the others go on"
    FAIL_SERVICE = "fail every stream of the service"


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row of a failure table.

    Args:
        statuses: The HTTP statuses that it is about.
        action: What to do.
        advice: What the user reads after "GET /path: HTTP status (detail)". May name
            ``{service}``, ``{credentials}`` and ``{host}``.
        when: A further condition on the answer and its request.
    """

    statuses: Iterable[int]
    action: Action
    advice: str
    when: Callable[[Answer, Request], bool] = lambda _answer, _request: True

    def matches(self, answer: Answer, request: Request) -> bool:
        """Whether this row is about the answer."""
        return answer.status in self.statuses and self.when(answer, request)


def is_html(answer: Answer, _request: Request) -> bool:
    """Whether the answer is a web page, as a firewall in front of an API sends it."""
    return "html" in answer.headers.get("content-type", "").lower()


def is_gated(_answer: Answer, request: Request) -> bool:
    """Whether the request belongs to a stream that exists only on some plans or add-ons."""
    return request.gated


def has_parent(_answer: Answer, request: Request) -> bool:
    """Whether the request asks for the children of one parent."""
    return request.of_parent


COMMON: t.Final[tuple[Rule, ...]] = (
    Rule(
        range(300, 400),
        Action.FAIL_SERVICE,
        "the server answers with a redirect, which the tap does not follow because the"
        " credentials would go along. Check the URL or domain setting of {service}.",
    ),
    Rule(
        (401,),
        Action.FAIL_SERVICE,
        "{service} does not accept the credentials. Check {credentials}.",
    ),
    Rule(
        (402,),
        Action.SKIP_STREAM,
        "the {service} plan or subscription does not include this.",
    ),
    Rule(
        (404,),
        Action.SKIP_PARENT,
        "the parent record no longer exists.",
        when=has_parent,
    ),
    Rule(
        (403, 404, 410, 415),
        Action.SKIP_STREAM,
        "this part of {service} is not on the plan or not switched on.",
        when=is_gated,
    ),
    Rule(
        (408, 425, 500, 502, 503, 504, *range(520, 531)),
        Action.RETRY,
        "{service} has a temporary problem. The next run continues from the last state.",
    ),
    Rule(
        (429,),
        Action.WAIT,
        "{service} limits the rate of requests. Lower max_concurrency, or run again later.",
    ),
    Rule(
        range(400, 600),
        Action.FAIL_STREAM,
        "{service} refuses the request. If the tap is up to date, please report this.",
    ),
)


def find_rule(rules: Iterable[Rule], answer: Answer, request: Request) -> Rule | None:
    """Look an answer up in a failure table.

    Args:
        rules: The rows, most specific first.
        answer: The answer to judge.
        request: What was asked.

    Returns:
        The first row that matches; None for a success.
    """
    return next((rule for rule in rules if rule.matches(answer, request)), None)
