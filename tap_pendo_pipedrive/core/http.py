"""One service's HTTP client: connections, authentication, retries, and what an answer means."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import functools
import itertools
import json
import logging
import random
import tempfile
import threading
import time
import typing as t
from email.utils import parsedate_to_datetime
from importlib import metadata

import backoff
import requests
from requests.adapters import HTTPAdapter

from tap_pendo_pipedrive.core.failures import (
    COMMON,
    Action,
    BudgetExhausted,
    ParentGone,
    Retry,
    Rule,
    ServiceFailed,
    StreamFailed,
    StreamForbidden,
    TapError,
    TemporarilyFailed,
    find_rule,
)
from tap_pendo_pipedrive.core.redaction import redact

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import IO

    from requests.auth import AuthBase

    from tap_pendo_pipedrive.core.governor import Governor

T = t.TypeVar("T")

logger = logging.getLogger("tap-pendo-pipedrive.http")

CONNECT_TIMEOUT: t.Final = 10
#: A body beyond this is not a page of an API; reading on would only exhaust the memory.
LARGEST_BODY: t.Final = 1 << 30
#: Bytes that are read at a time. Most bodies come in one piece then, and are not copied.
PIECE: t.Final = 1 << 20
CHUNK: t.Final = 1 << 16
#: A spooled body up to this size stays in memory.
LARGEST_IN_MEMORY: t.Final = 1 << 20
LONGEST_DETAIL: t.Final = 200
LONGEST_DELAY: t.Final = 60.0


@dataclasses.dataclass(frozen=True)
class Request:
    """What to ask for.

    Args:
        stream: The stream that asks, for messages and the bill.
        path: Path below the service's host.
        params: Query parameters. Never holds a secret.
        cost: API tokens that one answer costs.
        gated: The endpoint exists only on some plans or with some add-ons.
        of_parent: The path names one parent record, which may vanish.
        payload: JSON body; makes the request a POST.
        spooled: The answer may be large: it goes to a file instead of memory.
        tries: Temporary failures after which to give up, if fewer than the client's tries; where
            a smaller request may do better.
    """

    stream: str
    path: str
    params: Mapping[str, str | int] = dataclasses.field(default_factory=dict)
    cost: int = 0
    gated: bool = False
    of_parent: bool = False
    payload: Mapping[str, t.Any] | None = None
    spooled: bool = False
    tries: int | None = None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "GET" if self.payload is None else "POST"

    def __str__(self) -> str:
        """Name the request in a message."""
        return f"{self.method} {self.path}"


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP response that has been read to its end.

    Attributes:
        status: HTTP status.
        headers: By name, in any case.
        body: Decoded from its transfer and content encodings; a file for a spooled request.
        sent: When the request was sent, in monotonic seconds.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | IO[bytes]
    sent: float

    def close(self) -> None:
        """Let go of a body that nobody reads."""
        if not isinstance(self.body, bytes):
            self.body.close()

    @property
    def beginning(self) -> bytes:
        """The body's first bytes."""
        if isinstance(self.body, bytes):
            return self.body[:CHUNK]
        self.body.seek(0)
        return self.body.read(CHUNK)

    def detail(self) -> str:
        """The server's own words about an error, short and without secrets."""
        try:
            parsed = json.loads(self.beginning)
        except (ValueError, RecursionError):
            html = "html" in self.headers.get("content-type", "")
            # More than is shown, since a secret that is cut in two is not recognised.
            text = "" if html else self.beginning.decode(errors="replace")
        else:
            parsed = parsed if isinstance(parsed, dict) else {}
            words = (parsed.get(key) for key in ("error", "message", "error_info"))
            text = "; ".join(word for word in words if isinstance(word, str))
        return " ".join(redact(text).split())[:LONGEST_DETAIL]


class BadBodyError(Exception):
    """A successful status came with a body that is not what the API sends."""


@dataclasses.dataclass
class Usage:
    """What a stream has cost so far."""

    requests: int = 0
    tokens: int = 0
    retries: int = 0


class Client:
    """Sends a service's requests. Safe to use from several threads.

    Args:
        service: The service's name in messages.
        credentials: The settings that hold the credentials, for messages.
        auth: Adds the credentials to a request.
        governor: Decides when a request may be sent.
        rules: The service's rows of the failure table, before the common ones.
        timeout: Read timeout in seconds.
        max_tries: Tries per request.
    """

    #: Seconds before the first retry; each further one doubles it.
    first_delay = 1.0

    def __init__(  # noqa: PLR0913 - named, and given by two callers
        self,
        *,
        service: str,
        credentials: str,
        auth: AuthBase | Callable[[requests.PreparedRequest], requests.PreparedRequest],
        governor: Governor,
        rules: tuple[Rule, ...] = (),
        timeout: float = 300,
        max_tries: int = 8,
    ) -> None:
        self.service = service
        self.credentials = credentials
        self.governor = governor
        self.rules = (*rules, *COMMON)
        self.usage: dict[str, Usage] = {}
        self._lock = threading.Lock()
        self._auth = auth
        self._timeout = (CONNECT_TIMEOUT, timeout)
        self._max_tries = max(1, max_tries)
        self._verdict: TapError | None = None
        self._session = requests.Session()
        # What counts of it is looked up once; a .netrc entry must not replace the credentials.
        self._session.trust_env = False
        self._of_environment = functools.cache(_of_environment)
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=governor.concurrency)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        version = metadata.version("tap-pendo-pipedrive")
        self._session.headers["User-Agent"] = f"tap-pendo-pipedrive/{version}"

    # What a service may do differently.

    @property
    def base_url(self) -> str:
        """Scheme and host of the service, without a slash at the end."""
        raise NotImplementedError

    def before(self) -> None:
        """Called before each try; may raise, for example when the budget is used up."""

    def observe(self, answer: Answer) -> None:
        """Called with each answer, for example to read its rate headers."""

    def refresh_credentials(self, answer: Answer) -> bool:
        """Get new credentials after an answer that rejects them. Returns whether there are any."""
        del answer
        return False

    def rate_limited(self, answer: Answer, tries: int) -> float:
        """How many seconds to wait after a 429; may raise BudgetExhausted."""
        return retry_after(answer) or self.delay(tries)

    # Sending.

    def fetch(self, request: Request, parse: Callable[[t.Any], T]) -> T:
        """Send a request, again if need be, and parse the answer's body.

        Args:
            request: What to ask for.
            parse: Reads the body of a success; raises BadBodyError to have it asked for again.

        Returns:
            What ``parse`` returns.

        Raises:
            TapError: One of its subclasses; see :mod:`tap_pendo_pipedrive.core.failures`.
        """
        tries = itertools.count(1)
        failures: list[TapError] = []
        refreshed = False

        @backoff.on_exception(
            backoff.runtime,
            Retry,
            value=lambda retry: retry.delay,
            jitter=None,
            max_tries=self._max_tries,
            on_backoff=lambda details: _log_retry(details["exception"]),
            logger=None,
        )
        def attempt() -> T:
            nonlocal refreshed
            self.before()
            try:
                return self._attempt(request, parse, next(tries), may_refresh=not refreshed)
            except Retry as retry:
                refreshed = refreshed or isinstance(retry.failure, ServiceFailed)
                if isinstance(retry.failure, TemporarilyFailed):
                    failures.append(retry.failure)
                if len(failures) == request.tries:
                    raise retry.failure from None
                raise

        if self._verdict is not None:
            raise self._verdict
        try:
            return attempt()
        except Retry as retry:
            raise retry.failure from None
        except (ServiceFailed, BudgetExhausted) as verdict:
            # The other streams need not ask to hear the same.
            self._verdict = verdict
            raise

    def _attempt(
        self, request: Request, parse: Callable[[t.Any], T], tries: int, *, may_refresh: bool
    ) -> T:
        with contextlib.ExitStack() as kept:
            answer = self._send(request, tries)
            kept.callback(answer.close)
            rule = find_rule(self.rules, answer, request)
            if rule is None:
                result = self._parse(request, answer, parse, tries)
                kept.pop_all()  # A file is the caller's now.
                return result
            if rule.action is Action.REFRESH and may_refresh and self.refresh_credentials(answer):
                raise Retry(self._failure(ServiceFailed, rule, request, answer), 0)
            raise self._act(rule, request, answer, tries)

    def _parse(
        self, request: Request, answer: Answer, parse: Callable[[t.Any], T], tries: int
    ) -> T:
        try:
            return parse(answer.body)
        except (BadBodyError, RecursionError) as error:
            failure = TemporarilyFailed(
                f"{request.stream}: {request}: {self.service} sent an incomplete or unexpected"
                f" body ({redact(str(error))[:LONGEST_DETAIL]})."
            )
            raise Retry(failure, self.delay(tries)) from error

    def usage_of(self, stream: str) -> Usage:
        """What a stream has cost so far."""
        return self.usage.get(stream, Usage())

    def bill(self) -> str:
        """What the run has cost so far, in a line."""
        requests_ = sum(usage.requests for usage in self.usage.values())
        tokens = sum(usage.tokens for usage in self.usage.values())
        return f"{requests_} requests, {tokens} API tokens"

    def delay(self, tries: int) -> float:
        """Seconds before the next try: doubling, capped, with jitter."""
        ceiling: float = min(self.first_delay * 2 ** (tries - 1), LONGEST_DELAY)
        return ceiling * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing

    def _send(self, request: Request, tries: int) -> Answer:
        try:
            with self.governor.slot():
                answer = self._exchange(request)
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise self._no_answer(request, error, tries) from None
            raise ServiceFailed(
                f"{request.stream}: the TLS certificate of {self.base_url} is not trusted. Behind"
                " a company proxy, point REQUESTS_CA_BUNDLE to its certificate authority."
            ) from None
        except requests.exceptions.RequestException as error:
            raise self._no_answer(request, error, tries) from None
        self._account(request, tries)
        self.observe(answer)
        return answer

    def _exchange(self, request: Request) -> Answer:
        sent = time.monotonic()
        base_url = self.base_url
        with self._session.request(
            request.method,
            base_url + request.path,
            **self._of_environment(base_url),
            params=request.params,
            json=request.payload,
            auth=self._auth,
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            pieces = _bounded(request, response.iter_content(PIECE))
            body = _spool(pieces) if request.spooled else b"".join(pieces)
            return Answer(response.status_code, response.headers, body, sent)

    def _no_answer(self, request: Request, error: Exception, tries: int) -> Retry:
        self._account(request, tries, cost=0)
        failure = TemporarilyFailed(
            f"{request.stream}: {request}: no complete answer from {self.base_url}"
            f" ({type(error).__name__}). Check the network, proxies and URL settings."
        )
        return Retry(failure, self.delay(tries))

    def _account(self, request: Request, tries: int, cost: int | None = None) -> None:
        with self._lock:
            usage = self.usage.setdefault(request.stream, Usage())
            usage.requests += 1
            usage.tokens += request.cost if cost is None else cost
            usage.retries += tries > 1

    def _act(self, rule: Rule, request: Request, answer: Answer, tries: int) -> Exception:
        failure = self._failure(FAILURES.get(rule.action, StreamFailed), rule, request, answer)
        if rule.action is Action.WAIT:
            delay = self.rate_limited(answer, tries)
            self.governor.pause(delay)
            return Retry(failure, 0)
        if rule.action is Action.RETRY:
            return Retry(failure, retry_after(answer) or self.delay(tries))
        return failure

    def _failure(
        self, kind: type[TapError], rule: Rule, request: Request, answer: Answer
    ) -> TapError:
        advice = rule.advice.format(
            service=self.service, credentials=self.credentials, host=self.base_url
        )
        detail = f" ({detail})" if (detail := answer.detail()) else ""
        return kind(f"{request.stream}: {request}: HTTP {answer.status}{detail}: {advice}")


#: What an action means when no tries are left or none are due.
FAILURES: t.Final[dict[Action, type[TapError]]] = {
    Action.RETRY: TemporarilyFailed,
    Action.SKIP_STREAM: StreamForbidden,
    Action.SKIP_PARENT: ParentGone,
    Action.STOP: BudgetExhausted,
    Action.FAIL_SERVICE: ServiceFailed,
    Action.REFRESH: ServiceFailed,
}


def _of_environment(base_url: str) -> Mapping[str, t.Any]:
    """The proxies and the certificate authorities that the environment asks for.

    To look for them takes as long as the rest of a request to a server nearby.
    """
    found = requests.Session().merge_environment_settings(base_url, {}, None, None, None)
    return {name: found[name] for name in ("proxies", "verify")}


def _bounded(request: Request, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Hand out a body's pieces, as long as they are no more than a body should have.

    Raises:
        StreamFailed: They are.
    """
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > LARGEST_BODY:
            raise StreamFailed(
                f"{request.stream}: {request}: the body is larger than {LARGEST_BODY >> 20} MiB."
            )
        yield piece


def _spool(pieces: Iterable[bytes]) -> IO[bytes]:
    """Write a body's pieces to a file, which stays in memory if it is small."""
    with contextlib.ExitStack() as kept:
        spool = kept.enter_context(tempfile.SpooledTemporaryFile(LARGEST_IN_MEMORY))
        for piece in pieces:
            spool.write(piece)
        kept.pop_all()
        return t.cast("IO[bytes]", spool)


def _log_retry(retry: Exception) -> None:
    logger.warning("Trying again: %s", redact(str(retry)))


def check_utf8(body: bytes) -> None:
    """Make sure that a body is UTF-8, without a copy of all of it.

    Raises:
        UnicodeDecodeError: It is not.
    """
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(body)
    for start in range(0, len(view), CHUNK):
        decoder.decode(view[start : start + CHUNK])
    decoder.decode(b"", final=True)


def retry_after(answer: Answer) -> float | None:
    """Seconds that a Retry-After header asks for, at most :data:`LONGEST_DELAY`.

    Returns:
        None without such a header; dates in it are read as seconds from now.
    """
    value = answer.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_DELAY)
