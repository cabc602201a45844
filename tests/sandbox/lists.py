"""Answers list requests from the company's tables: filters, cursors and offsets."""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tests.sandbox import relations
from tests.sandbox.endpoints import BadParameterError, Endpoint, NotFoundError
from tests.sandbox.store import Key, Position, View, rank
from tests.sandbox.vocabulary import words

if TYPE_CHECKING:
    from tests.sandbox.company import Company
    from tests.sandbox.fields import Row

DEFAULT_LIMIT = 100
CODE_LENGTH = 40
Test = Callable[[dict[str, Any]], bool]
# Parameters that are no filter on an attribute of the same name.
NOT_FILTERS = set(
    words(
        "limit cursor start sort sort_by sort_direction include_fields custom_fields ids deal_ids "
        "filter_id status updated_since updated_until start_date end_date term "
        "include_option_labels include_labels is_active items all_changes order_by skip_users"
    )
)


@dataclass
class Options:
    """How the lists behave where the documentation leaves it open, or a test wants it otherwise.

    Attributes:
        page_end: How the last cursor page says so: "null" (`next_cursor: null`), "key" (no such
            key), "block" (no `additional_data`), or None for a mixture over the endpoints.
        v1_block: Where v1 puts its paging block: "nested", "flat" or "none"; None for a mixture.
        items_of_deleted: Whether line items and installments of deleted deals are returned.
    """

    page_end: str | None = None
    v1_block: str | None = None
    items_of_deleted: bool = True


def plain_time(value: str | None) -> str:
    """A time of either API version, cut to whole seconds in one comparable style."""
    return "" if value is None else value[:19].replace(" ", "T")


class Lists:
    """Reads pages of the company's tables."""

    def __init__(self, company: Company, options: Options) -> None:
        """Read from this company."""
        self.company = company
        self.options = options
        # What each cursor was issued for. A real cursor is opaque; one that the server never
        # issued, or issued for another query, is refused here.
        self._issued: dict[str, set[str]] = {}

    def read(
        self, path: str, endpoint: Endpoint, given: dict[str, Any], parent: str | None
    ) -> bytes:
        """The body of an answer.

        Args:
            path: The path asked for.
            endpoint: What it leads to.
            given: The parameters.
            parent: What stands for `{id}` in the path.

        Raises:
            BadParameterError: A parameter does not fit the data.
            NotFoundError: The parent is not there.
        """
        with self.company.lock:
            keys = self._children(endpoint, given, parent)
            if endpoint.paging == "cursor":
                return self._cursor_page(path, endpoint, given, keys)
            encode = self._encoder(endpoint, given)
            if endpoint.paging == "object":
                return b'{"success":true,"data":%s}' % (encode(keys[0]) if keys else b"null")
            if endpoint.table == "deal_flow":
                flow = self._flow(keys or [], int(parent or 0), given)
                return self._offset_page(path, endpoint, given, flow, msgspec.json.encode)
            found = self._listed(endpoint, given, keys)
            return self._offset_page(path, endpoint, given, found, encode)

    # Parents

    def _children(
        self, endpoint: Endpoint, given: dict[str, Any], parent: str | None
    ) -> list[Key] | None:
        """Keys of the rows that belong to what the request names; None for a whole table."""
        company = self.company
        if "deal_ids" in given:
            return [key for deal in given["deal_ids"] for key in self._items(endpoint, deal)]
        if not endpoint.parent:
            return None
        key: Key = given[endpoint.required[0]] if parent is None else parent
        if isinstance(key, str) and key.isdigit():
            key = int(key)
        if key not in company.tables[endpoint.parent]:
            raise NotFoundError
        found = [k for link in endpoint.links for k in company.group(endpoint.table, link, key)]
        return list(dict.fromkeys(found))

    def _items(self, endpoint: Endpoint, deal: int) -> list[Key]:
        deals = self.company.tables["deals"]
        gone = deal not in deals or deals[deal]["is_deleted"]
        if gone and not self.options.items_of_deleted:
            return []
        return self.company.group(endpoint.table, "deal_id", deal)

    # Filters

    def _keeper(self, endpoint: Endpoint, given: dict[str, Any]) -> Test | None:
        tests: list[Test] = []
        if endpoint.keep is not None:
            tests.append(endpoint.keep)
        if "status" in endpoint.params:
            wanted = given.get("status")
            tests.append(
                lambda row: row["status"] in wanted if wanted else row["status"] != "deleted"
            )
        if "is_active" in endpoint.params:
            # The API leaves the others out unless it is asked for them.
            tests.append(_equals("is_active", given.get("is_active", True)))
        tests += _time_tests(given)
        if "filter_id" in given:
            # A filter replaces the quick filters, `ids` among them.
            tests.append(self._saved_filter(given["filter_id"]))
        else:
            tests += self._quick_filters(endpoint, given)
        if len(tests) <= 1:
            return tests[0] if tests else None
        return lambda row: all(test(row) for test in tests)

    def _quick_filters(self, endpoint: Endpoint, given: dict[str, Any]) -> list[Test]:
        tests: list[Test] = []
        if "ids" in given:
            tests.append(lambda row: row["id"] in given["ids"])
        if "term" in given:
            tests.append(
                lambda row: given["term"].lower() in f"{row['code']} {row['name']}".lower()
            )
        for name, value in given.items():
            kind = endpoint.params[name]
            if name in NOT_FILTERS or kind == "parent":
                continue
            if kind == "member":
                tests.append(_holds(f"{name}s", value))
            elif kind == "folder":
                tests.append(_holds("folders", value))
            elif kind == "deal":
                deal = self.company.tables["deals"].get(value)
                tests.append(_equals("id", deal["person_id"] if deal else None))
            else:
                tests.append(_equals(name, value))
        return tests

    def _saved_filter(self, key: int) -> Test:
        saved = self.company.tables["filters"].get(key)
        if saved is None:
            message = f"no filter {key}"
            raise BadParameterError(message)
        # The list of filters does not show their conditions. Here each one means "mine".
        return lambda row: row["owner_id"] == saved["user_id"]

    # Rows

    def _encoder(self, endpoint: Endpoint, given: dict[str, Any]) -> Callable[[Key], bytes]:
        company, table = self.company, endpoint.table
        asked = given.get("include_fields", set())
        omit = frozenset(name for name in endpoint.optional if name not in asked)
        omit |= frozenset(endpoint.hidden)
        if given.get("skip_users"):
            omit |= {"users"}
        shown = self._shown(table, given)
        if shown is not None:
            show = shown
            return lambda key: msgspec.json.encode(
                {k: v for k, v in show(company.tables[table][key]).items() if k not in omit}
            )
        special = {"custom_fields", "include_option_labels", "include_labels"}
        if not any(given.get(name) for name in special):
            return lambda key: company.encoded(table, key, omit)
        definitions = company.tables[f"{table[:-1]}_fields"]

        def encode(key: Key) -> bytes:
            row = {k: v for k, v in company.tables[table][key].items() if k not in omit}
            values = row["custom_fields"]
            if "custom_fields" in given:
                values = {k: v for k, v in values.items() if k in given["custom_fields"]}
            if given.get("include_option_labels"):
                values = {k: _labelled(definitions.get(k), v) for k, v in values.items()}
            if given.get("include_labels"):
                row["labels"] = [{"id": n, "label": f"Label {n}"} for n in row["label_ids"]]
            return msgspec.json.encode(row | {"custom_fields": values})

        return encode

    def _shown(self, table: str, given: dict[str, Any]) -> Callable[[Row], Row] | None:
        """How rows are written that the company keeps in short."""
        tables = self.company.tables
        if table == "deal_participants":
            return lambda row: relations.participant(tables, row)
        if table == "organization_relationships":
            return lambda row: relations.relationship(tables, row, given["org_id"])
        return None

    # Cursors

    def _cursor_page(
        self, path: str, endpoint: Endpoint, given: dict[str, Any], keys: list[Key] | None
    ) -> bytes:
        table = endpoint.table
        rows = self.company.tables[table]
        attribute = given.get("sort_by", "order" if table.endswith("_fields") else "id")
        descending = given.get("sort_direction") == "desc"
        limit = given.get("limit", DEFAULT_LIMIT)
        view = self._view(endpoint, attribute, keys)
        fingerprint = self._fingerprint(path, given)
        keep = self._keeper(endpoint, given)
        found: list[Position] = []
        for place in self._places(view, given.get("cursor"), fingerprint, descending=descending):
            if keep is None or keep(rows[view[place][1]]):
                found.append(view[place])
                if len(found) > limit:
                    break
        encode = self._encoder(endpoint, given)
        data = b",".join(encode(key) for _, key in found[:limit])
        if len(found) > limit:
            (known, value), key = found[limit - 1]
            cursor = self._issue(fingerprint, attribute, value if known else None, key, descending)
            more = b',"additional_data":{"next_cursor":"%s"}' % cursor.encode()
        else:
            more = {
                "null": b',"additional_data":{"next_cursor":null}',
                "key": b',"additional_data":{}',
                "block": b"",
            }[self.options.page_end or endpoint.ends]
        return b'{"success":true,"data":[%s]%s}' % (data, more)

    def _view(self, endpoint: Endpoint, attribute: str, keys: list[Key] | None) -> View:
        if keys is None:
            return self.company.view(endpoint.table, attribute)
        rows = self.company.tables[endpoint.table]
        return sorted((rank(rows[key].get(attribute)), key) for key in keys)

    @staticmethod
    def _fingerprint(path: str, given: dict[str, Any]) -> str:
        same = sorted(
            (name, sorted(value) if isinstance(value, set) else value)
            for name, value in given.items()
            if name not in {"cursor", "limit"}
        )
        return f"{path} {same!r}"

    def _issue(
        self, fingerprint: str, attribute: str, value: Any, key: Key, descending: bool
    ) -> str:
        content = {
            "field": attribute,
            "fieldValue": value,
            "sortDirection": "desc" if descending else "asc",
            "id": key,
        }
        cursor = base64.urlsafe_b64encode(msgspec.json.encode(content)).decode().rstrip("=")
        self._issued.setdefault(cursor, set()).add(fingerprint)
        return cursor

    def _places(
        self, view: View, cursor: str | None, fingerprint: str, *, descending: bool
    ) -> range:
        if cursor is None:
            return range(len(view) - 1, -1, -1) if descending else range(len(view))
        if fingerprint not in self._issued.get(cursor, ()):
            message = "cursor is not valid for this request"
            raise BadParameterError(message)
        content = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        position = (rank(content["fieldValue"]), content["id"])
        if descending:
            return range(bisect_left(view, position) - 1, -1, -1)
        return range(bisect_right(view, position), len(view))

    # Offsets

    def _offset_page(
        self,
        path: str,
        endpoint: Endpoint,
        given: dict[str, Any],
        found: list[Any],
        encode: Callable[[Any], bytes],
    ) -> bytes:
        modern = path.startswith("/api/v2/")
        tail = b',"additional_data":null' if modern else b""
        if endpoint.paging:
            start = given.get("start", 0)
            limit = given.get("limit", min(DEFAULT_LIMIT, endpoint.max_limit))
            more = start + limit < len(found)
            found = found[start : start + limit]
            block: Row = {"start": start, "limit": limit, "more_items_in_collection": more}
            if more or endpoint.table == "roles":
                # Roles name a next start even where there is nothing more.
                block["next_start"] = start + limit
            kind = self.options.v1_block or endpoint.paging
            if kind == "nested":
                block = {"pagination": block}
            if kind != "none":
                tail = b',"additional_data":' + msgspec.json.encode(block)
        data = b"[%s]" % b",".join(map(encode, found))
        if endpoint.envelope:
            data = b'{"%s":%s}' % (endpoint.envelope.encode(), data)
        elif not found and not modern:
            data = b"null"
        return b'{"success":true,"data":%s%s}' % (data, tail)

    def _listed(
        self, endpoint: Endpoint, given: dict[str, Any], keys: list[Key] | None
    ) -> list[Key]:
        """The rows of a whole list, in its order."""
        rows = self.company.tables[endpoint.table]
        keep = self._keeper(endpoint, given)
        if keys is None:
            order = given.get("sort")
            if endpoint.newest:
                order = [(endpoint.newest, True)]
            elif "order_by" in given:
                order = [(given["order_by"], False)]
            keys = self._ordered(endpoint, order)
        return keys if keep is None else [key for key in keys if keep(rows[key])]

    def _flow(self, keys: list[Key], deal: int, given: dict[str, Any]) -> list[Row]:
        """What happened to a deal, newest first: changes, and what was added to it."""
        company = self.company
        found: list[Row] = []
        for key in keys:
            change = company.tables["deal_flow"][key]
            if given.get("all_changes") or len(change["field_key"]) < CODE_LENGTH:
                entry = {"object": "dealChange", "timestamp": change["log_time"], "data": change}
                found.append(entry)
        for kind, table in (("activity", "activities"), ("note", "notes"), ("file", "files")):
            for key in company.group(table, "deal_id", deal):
                row = company.tables[table][key]
                moment = plain_time(row["add_time"]).replace("T", " ")
                found.append({"object": kind, "timestamp": moment, "data": row})
        found = [row for row in found if row["object"] in given.get("items", {row["object"]})]
        found.sort(key=lambda row: (row["timestamp"], row["data"]["id"]), reverse=True)
        return found

    def _ordered(self, endpoint: Endpoint, order: list[tuple[str, bool]] | None) -> list[Key]:
        table = endpoint.table
        if not order:
            return [key for _, key in self.company.view(table, "order")]
        if len(order) == 1:
            view = self.company.view(table, order[0][0])
            return [key for _, key in (reversed(view) if order[0][1] else view)]
        rows = self.company.tables[table]
        keys = [key for _, key in self.company.view(table, "order")]
        for name, descending in reversed(order):
            keys.sort(key=lambda key, name=name: rank(rows[key][name]), reverse=descending)  # type: ignore[misc]
        return keys


def _equals(name: str, value: Any) -> Test:
    if "." in name:
        outer, inner = name.split(".")
        return lambda row: bool(row[outer][inner] == value)
    return lambda row: bool(row[name] == value)


def _holds(name: str, value: Any) -> Test:
    return lambda row: value in row[name]


def _time_tests(given: dict[str, Any]) -> list[Test]:
    tests: list[Test] = []
    since, until = given.get("updated_since"), given.get("updated_until")
    # A row that was never updated has no place on the time line of either.
    if since is not None:
        tests.append(lambda row: plain_time(row["update_time"]) >= since)
    if until is not None:
        tests.append(lambda row: "" < plain_time(row["update_time"]) < until)
    if "start_date" in given:
        tests.append(lambda row: row["add_time"][:10] >= given["start_date"])
    if "end_date" in given:
        tests.append(lambda row: row["add_time"][:10] <= given["end_date"])
    return tests


def _labelled(definition: Row | None, value: Any) -> Any:
    if definition is None or value is None or definition["field_type"] not in {"enum", "set"}:
        return value
    labels = {option["id"]: option["label"] for option in definition["options"]}
    if isinstance(value, list):
        return [{"id": item, "label": labels.get(item)} for item in value]
    return {"id": value, "label": labels.get(value)}
