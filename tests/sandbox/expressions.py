"""The C-like expressions of aggregation pipelines: filters, computed fields, moments."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.sandbox.zones import Calendar

Row = dict[str, Any]
Evaluate = Callable[[Row], Any]

TOKENS = re.compile(
    r"""\s*(?:
    (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |"(?P<string>(?:[^"\\]|\\.)*)"
    |(?P<name>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$0-9][\w$-]*)*)
    |(?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%<>!(),\[\]])
    )""",
    re.VERBOSE | re.DOTALL,
)
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None, "nil": None}
UNITS = {"hour", "hours", "day", "days", "week", "weeks", "month", "months"}
PERIODS = {"hourly": "hour", "daily": "day", "monthly": "month"}


class ExpressionError(ValueError):
    """The text is not an expression."""


class Token(NamedTuple):
    """A piece of an expression: its kind ("number", "string", "name", "sign", "end") and text."""

    kind: str
    text: str


def _unescape(match: re.Match[str]) -> str:
    text = match[1]
    if text[0] == "u" and len(text) == 5:
        return chr(int(text[1:], 16))
    if text not in ESCAPES:
        raise ExpressionError(f"unknown escape \\{text}")
    return ESCAPES[text]


def tokens(text: str) -> list[Token]:
    """Split an expression."""
    found, place, text = [], 0, text.rstrip()
    while place < len(text):
        match = TOKENS.match(text, place)
        if match is None:
            raise ExpressionError(f"unexpected character at {place}")
        kind = str(match.lastgroup)
        value = str(match[kind])
        found.append(Token(kind, ESCAPE.sub(_unescape, value) if kind == "string" else value))
        place = match.end()
    return [*found, Token("end", "")]


def lookup(row: Row, path: list[str]) -> Any:
    """The value at a path of a row; None where there is none."""
    value: Any = row
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Numbers and texts have an order among themselves; anything else compares false."""

    def check(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return compare(left, right)
        return _is_number(left) and _is_number(right) and compare(left, right)

    return check


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _arithmetic(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def result(left: Any, right: Any) -> Any:
        texts = isinstance(left, str) and isinstance(right, str)
        joined = texts and calculate is operator.add
        if not joined and not (_is_number(left) and _is_number(right)):
            return None
        try:
            return calculate(left, right)
        except ZeroDivisionError:
            return None

    return result


# Binary operators, loosest first; && and || are handled apart.
LEVELS: tuple[dict[str, Callable[[Any, Any], Any]], ...] = (
    {"==": _equal, "!=": lambda left, right: not _equal(left, right)},
    {
        "<": _ordered(operator.lt),
        "<=": _ordered(operator.le),
        ">": _ordered(operator.gt),
        ">=": _ordered(operator.ge),
    },
    {"+": _arithmetic(operator.add), "-": _arithmetic(operator.sub)},
    {
        "*": _arithmetic(operator.mul),
        "/": _arithmetic(operator.truediv),
        "%": _arithmetic(operator.mod),
    },
)


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(whole, list):
        return part in whole
    return isinstance(whole, str) and isinstance(part, str) and part in whole


def _starts_with(whole: Any, part: Any) -> bool:
    return isinstance(whole, str) and isinstance(part, str) and whole.startswith(part)


class Functions:
    """The functions of the language; those of time use the subscription's calendar and clock."""

    def __init__(self, calendar: Calendar, now: int) -> None:
        """Take the calendar and the present in milliseconds."""
        self.calendar = calendar
        self.now = now
        # Name -> number of arguments and function.
        self.table: dict[str, tuple[int, Callable[..., Any]]] = {
            "isNil": (1, lambda value: value is None),
            "isNull": (1, lambda value: value is None),
            "isEmpty": (1, lambda value: value in (None, "", [], {})),
            "contains": (2, _contains),
            "startsWith": (2, _starts_with),
            "if": (3, lambda check, yes, no: yes if check is True else no),
            "now": (0, lambda: self.now),
            "date": (3, self._date),
            "dateAdd": (3, self._date_add),
            "startOfPeriod": (2, self._start_of_period),
        }

    def _date(self, year: Any, month: Any, day: Any) -> int:
        try:
            return self.calendar.midnight(date(year, month, day))
        except (TypeError, ValueError) as error:
            raise ExpressionError(f"bad date: {error}") from error

    def _date_add(self, moment: Any, count: Any, unit: Any) -> int:
        if not isinstance(moment, int) or not isinstance(count, int) or unit not in UNITS:
            raise ExpressionError("bad arguments of dateAdd")
        if unit.startswith("hour"):
            return moment + count * 3_600_000
        start = self.calendar.start("day", moment)
        if unit.startswith("month"):
            local = self.calendar.local(start).date()
            months = local.year * 12 + local.month - 1 + count
            moved = self.calendar.midnight(date(months // 12, months % 12 + 1, min(local.day, 28)))
        else:
            days = count * 7 if unit.startswith("week") else count
            moved = self.calendar.shift("day", start, days)
        return moved + moment - start

    def _start_of_period(self, period: Any, moment: Any) -> int:
        if period not in PERIODS or not isinstance(moment, int):
            raise ExpressionError("bad arguments of startOfPeriod")
        if PERIODS[period] == "month":
            return self.calendar.spans(moment)[1]
        return self.calendar.start(PERIODS[period], moment)


class _Parser:
    """Turns tokens into a function of a row, by recursive descent."""

    def __init__(self, text: str, functions: Functions) -> None:
        self.rest = tokens(text)
        self.functions = functions.table
        self.place = 0

    def take(self, *texts: str) -> str | None:
        token = self.rest[self.place]
        if token.kind == "sign" and token.text in texts:
            self.place += 1
            return token.text
        return None

    def need(self, text: str) -> None:
        if self.take(text) is None:
            raise ExpressionError(f"expected {text} before {self.rest[self.place].text!r}")

    def whole(self) -> Evaluate:
        found = self.either()
        if self.rest[self.place].kind != "end":
            raise ExpressionError(f"unexpected {self.rest[self.place].text!r}")
        return found

    def either(self) -> Evaluate:
        parts = [self.both()]
        while self.take("||"):
            parts.append(self.both())
        if len(parts) == 1:
            return parts[0]
        return lambda row: any(part(row) is True for part in parts)

    def both(self) -> Evaluate:
        parts = [self.binary(0)]
        while self.take("&&"):
            parts.append(self.binary(0))
        if len(parts) == 1:
            return parts[0]
        return lambda row: all(part(row) is True for part in parts)

    def binary(self, level: int) -> Evaluate:
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while sign := self.take(*LEVELS[level]):
            left = self._joined(LEVELS[level][sign], left, self.binary(level + 1))
        return left

    @staticmethod
    def _joined(combine: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
        return lambda row: combine(left(row), right(row))

    def unary(self) -> Evaluate:
        if self.take("!"):
            inner = self.unary()
            return lambda row: inner(row) is not True
        if self.take("-"):
            negated = self.unary()
            return lambda row: _arithmetic(operator.sub)(0, negated(row))
        return self.primary()

    def primary(self) -> Evaluate:
        if self.take("("):
            inner = self.either()
            self.need(")")
            return inner
        token = self.rest[self.place]
        self.place += 1
        if token.kind == "string":
            return lambda _: token.text
        if token.kind == "number":
            number = int(token.text) if token.text.isdigit() else float(token.text)
            return lambda _: number
        if token.kind != "name":
            raise ExpressionError(f"unexpected {token.text or 'end'!r}")
        if self.take("("):
            return self.call(token.text)
        if token.text in CONSTANTS:
            constant = CONSTANTS[token.text]
            return lambda _: constant
        path = token.text.split(".")
        while self.take("["):
            name = self.rest[self.place]
            if name.kind != "string":
                raise ExpressionError("expected a text in brackets")
            self.place += 1
            path.append(name.text)
            self.need("]")
        return lambda row: lookup(row, path)

    def call(self, name: str) -> Evaluate:
        arguments: list[Evaluate] = []
        if not self.take(")"):
            arguments.append(self.either())
            while self.take(","):
                arguments.append(self.either())
            self.need(")")
        if name not in self.functions:
            raise ExpressionError(f"unknown function {name}")
        count, function = self.functions[name]
        if count != len(arguments):
            raise ExpressionError(f"{name} takes {count} arguments")
        return lambda row: function(*[argument(row) for argument in arguments])


def parse(text: str, functions: Functions) -> Evaluate:
    """Compile an expression.

    Raises:
        ExpressionError: the text is not an expression.
    """
    return _Parser(text, functions).whole()
