"""Keep secrets out of everything that the tap writes."""

from __future__ import annotations

import json
import logging
import typing as t
from urllib.parse import quote, quote_plus

if t.TYPE_CHECKING:
    from collections.abc import Iterable

MASK: t.Final = "***"
#: Shorter values would mask ordinary words and digits in the log.
SHORTEST_SECRET: t.Final = 4


class Redactor(logging.Filter):
    """Replaces known secrets in texts and, as a last line of defence, in log records.

    It knows exact values (and their forms in URLs and JSON), so it cannot be fooled by the place in
    which a secret turns up.
    """

    def __init__(self) -> None:
        super().__init__()
        self._secrets: tuple[str, ...] = ()

    def add(self, secrets: Iterable[str | None]) -> None:
        """Learn more secrets, for example an access token that was just issued."""
        known = set(self._secrets)
        for secret in secrets:
            if secret and len(secret) >= SHORTEST_SECRET:
                known |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
                known.add(json.dumps(secret)[1:-1])
        # Longest first: a secret may contain another one.
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return the text with every known secret masked."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask secrets in a log record's message and traceback."""
        message = record.getMessage()
        if (clean := self(message)) != message:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[1] is not None:
            text = logging.Formatter().formatException(record.exc_info)
            if (clean := self(text)) != text:
                record.exc_info, record.exc_text = None, clean
        return True


#: One for the process: handlers are process-wide too.
redact: t.Final = Redactor()


def guard_logging() -> None:
    """Put the redactor before every handler of the root logger."""
    for handler in logging.getLogger().handlers:
        if redact not in handler.filters:
            handler.addFilter(redact)
