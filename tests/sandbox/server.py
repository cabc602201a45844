"""The HTTP base of both sandbox servers: keep-alive, request log, fault injection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JSON = "application/json; charset=utf-8"


@dataclass(eq=False)
class Request:
    """One received request; `status` and `cost` are filled in when it is answered.

    Attributes:
        method: HTTP method.
        path: Path without the query.
        query: Query parameters in the order sent, repeats included.
        headers: Header names in lower case.
        body: Request body.
        time: `time.monotonic()` at arrival.
        number: Position in the server's log, from 1.
        status: Status sent; 0 when the connection was dropped without an answer.
        cost: API tokens charged.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes = b""
    time: float = 0.0
    number: int = 0
    status: int = 0
    cost: int = 0

    @property
    def params(self) -> dict[str, str]:
        """Query parameters; a repeated name has its values joined with commas."""
        joined: dict[str, str] = {}
        for name, value in self.query:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        return joined


@dataclass
class Reply:
    """What a server answers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON

    @classmethod
    def json(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """Build an answer with a JSON body."""
        return cls(status, msgspec.json.encode(value), dict(headers or {}))


@dataclass
class Fault:
    """A failure to show instead of, or on top of, the real answer.

    With `status`, `garbage` or `redirect` the real answer is not computed and nothing is charged.
    `delay`, `mutate` and `truncate` alone distort the real answer.

    Attributes:
        status: Answer with this status.
        body: Body for `status`: bytes or text are sent as they are, anything else as JSON.
        headers: Extra headers.
        truncate: Announce the whole body, send this many bytes of it and close the connection.
        drop: Close the connection without an answer.
        delay: Seconds to wait first.
        garbage: Answer 200 with a body that is not JSON.
        redirect: Answer 302 to this address.
        mutate: Rewrites the body of the answer.
    """

    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] | None = None
    truncate: int | None = None
    drop: bool = False
    delay: float = 0.0
    garbage: bool = False
    redirect: str | None = None
    mutate: Callable[[bytes], bytes] | None = None

    def reply(self) -> Reply | None:
        """The answer that replaces the real one, or None to keep the real one."""
        if self.redirect is not None:
            return Reply(302, b"", {"Location": self.redirect}, "text/html")
        if self.garbage:
            return Reply(200, b"<!doctype html><title>It works!</title>{not json", {}, JSON)
        if self.status is None:
            return None
        if isinstance(self.body, bytes):
            return Reply(self.status, self.body)
        if isinstance(self.body, str):
            return Reply(self.status, self.body.encode(), {}, "text/html; charset=utf-8")
        body = self.body if self.body is not None else {"success": False, "error": "fault"}
        return Reply.json(self.status, body)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, lets the owning server answer, writes the answer in one send."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Buffered, so that head and body leave in one packet where they fit.
    wbufsize = -1
    server: _HTTPServer

    def serve(self) -> None:
        """Answer one request of any method."""
        owner = self.server.owner
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=parse_qsl(parts.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            time=time.monotonic(),
        )
        if parts.path.startswith("/_sandbox/"):
            self._send(owner.control(request), None)
            return
        owner.enter(request)
        try:
            fault, reply = owner.answer(request)
            request.status = reply.status if reply else 0
        finally:
            # Before sending, so that a client which has its answer is no longer counted.
            owner.leave()
        if reply is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send(reply, fault)

    def __getattr__(self, name: str) -> Any:
        # The base class looks for do_GET and its kind.
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        body = reply.body
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault is not None and fault.truncate is not None:
            body = body[: fault.truncate]
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Stay silent: the request log is `SandboxServer.requests`."""

    def handle(self) -> None:
        """Serve the connection; a peer that goes away in the middle is not an error here."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ValueError, OSError):
            self.close_connection = True

    def finish(self) -> None:
        """Close the connection's files; flushing into a closed socket is not an error here."""
        try:
            super().finish()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], owner: SandboxServer) -> None:
        self.owner = owner
        self.open_sockets: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def close_all(self) -> None:
        """End idle keep-alive connections, whose threads would otherwise wait for ever."""
        for connection in list(self.open_sockets):
            # It may have been closed by now.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class SandboxServer:
    """Base of the vendor servers: start, stop, log, faults.

    Attributes:
        requests: Every request so far, oldest first.
        tokens: API tokens charged so far.
        max_in_flight: The most requests that were being answered at one time.
        errors: Bugs of the sandbox itself; their requests were answered with 599.
        fault: Called with each request; may return a `Fault`.
        before_answer: Called with each request before it is answered, for edits in mid-walk.
    """

    def __init__(self, *, latency: float = 0.0, port: int = 0) -> None:
        """Bind the server; `with` or `start()` makes it answer.

        Args:
            latency: Seconds added to every answer.
            port: Port on the loopback interface; 0 picks a free one.
        """
        self.latency = latency
        self.fault: Callable[[Request], Fault | None] | None = None
        self.before_answer: Callable[[Request], Any] | None = None
        self.requests: list[Request] = []
        self.tokens = 0
        self.max_in_flight = 0
        self.errors: list[Exception] = []
        self._in_flight = 0
        self._log_lock = threading.Lock()
        self._http = _HTTPServer(("127.0.0.1", port), self)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base address, without a slash at the end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        """Answer requests, in threads of their own."""
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and close every connection."""
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._thread = None
        self._http.close_all()
        self._http.server_close()

    def __enter__(self) -> Any:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the server."""
        self.stop()

    def reset(self) -> None:
        """Forget the request log, the counters and the hooks."""
        with self._log_lock:
            self.requests = []
            self.tokens = 0
            self.max_in_flight = self._in_flight
            self.fault = None
            self.before_answer = None

    def stats(self) -> dict[str, Any]:
        """Requests and tokens, in total and per path; all parents of a kind are one path."""
        with self._log_lock:
            log = list(self.requests)
        paths: dict[str, dict[str, int]] = {}
        for request in log:
            path = self.listed_as(request.path)
            entry = paths.setdefault(path, {"requests": 0, "tokens": 0, "failed": 0})
            entry["requests"] += 1
            entry["tokens"] += request.cost
            entry["failed"] += request.status >= 400 or request.status == 0
        return {
            "requests": len(log),
            "tokens": self.tokens,
            "max_in_flight": self.max_in_flight,
            "paths": dict(sorted(paths.items())),
        }

    def listed_as(self, path: str) -> str:
        """The name under which requests to a path are counted."""
        return path

    def enter(self, request: Request) -> None:
        """Log a request that has arrived."""
        with self._log_lock:
            self.requests.append(request)
            request.number = len(self.requests)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def leave(self) -> None:
        """Count a request as answered."""
        with self._log_lock:
            self._in_flight -= 1

    def charge(self, request: Request, cost: int) -> None:
        """Charge API tokens for a request."""
        with self._log_lock:
            request.cost = cost
            self.tokens += cost

    def answer(self, request: Request) -> tuple[Fault | None, Reply | None]:
        """Run hooks and faults around `handle`; no reply means: drop the connection."""
        if self.before_answer is not None:
            self.before_answer(request)
        fault = self.fault(request) if self.fault is not None else None
        delay = self.latency + (fault.delay if fault is not None else 0.0)
        if delay:
            time.sleep(delay)
        if fault is None:
            return None, self._handle(request)
        if fault.drop:
            return fault, None
        reply = fault.reply() or self._handle(request)
        reply.headers.update(fault.headers or {})
        if fault.mutate is not None:
            reply.body = fault.mutate(reply.body)
        return fault, reply

    def _handle(self, request: Request) -> Reply:
        try:
            return self.handle(request)
        except Exception as error:  # noqa: BLE001
            # A bug of the sandbox must not look like a vendor's answer.
            self.errors.append(error)
            return Reply.json(599, {"sandbox_error": repr(error)})

    def handle(self, request: Request) -> Reply:
        """Answer as the vendor would."""
        raise NotImplementedError

    def control(self, request: Request) -> Reply:
        """Answer a request to the sandbox itself, which no log or budget counts."""
        if request.path == "/_sandbox/stats":
            return Reply.json(200, self.stats())
        return Reply.json(404, {"error": "unknown control path"})
