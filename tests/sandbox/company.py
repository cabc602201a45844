"""The invented company: its tables, its clock and its edits."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from tests.sandbox import catalogue, contacts, fields, office, sales, usage
from tests.sandbox.analytics import STREAMS, Analytics
from tests.sandbox.store import Key, Store
from tests.sandbox.vocabulary import Inventor, epoch_ms, sql, z, z_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.fields import Row

DEFAULT_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
DAY = 86400
# The API forgets a deleted deal after this long.
RETENTION = 30 * DAY


@dataclass(frozen=True)
class TableInfo:
    """How a table is keyed and how it writes the time of a change."""

    key: str = "id"
    added: str | None = "add_time"
    updated: str | None = "update_time"
    write: Callable[[float], Any] = z


_V1 = TableInfo(write=sql)
_PLAIN = TableInfo(added=None, updated=None)
_FIELDS = TableInfo(key="field_code", added=None, updated=None)
_PENDO = TableInfo(added="createdAt", updated="lastUpdatedAt", write=epoch_ms)

TABLES: dict[str, TableInfo] = {
    "activities": TableInfo(),
    "activity_fields": _FIELDS,
    "activity_types": _V1,
    "currencies": _PLAIN,
    "deal_fields": _FIELDS,
    "deal_products": TableInfo(),
    "deals": TableInfo(),
    "files": _V1,
    "filters": _V1,
    "lead_labels": TableInfo(write=z_ms),
    "leads": TableInfo(write=z_ms),
    "notes": _V1,
    "organization_fields": _FIELDS,
    "organizations": TableInfo(),
    "permission_sets": _PLAIN,
    "person_fields": _FIELDS,
    "persons": TableInfo(),
    "pipelines": TableInfo(),
    "product_fields": _FIELDS,
    "products": TableInfo(write=z_ms),
    "roles": _PLAIN,
    "stages": TableInfo(),
    "users": TableInfo(added="created", updated="modified", write=sql),
    "pages": _PENDO,
    "features": _PENDO,
    "guides": _PENDO,
    "reports": _PENDO,
    "track_types": _PENDO,
    "segments": _PLAIN,
}
PENDO_TABLES = ("pages", "features", "guides", "reports", "track_types", "segments")


class Company(Store):
    """A company that uses Pipedrive to sell and Pendo to watch its product.

    The same arguments make the same rows. Every edit moves the company's clock one second on
    (`tick_per_edit`) and stamps the rows that it changes.

    Attributes:
        tables: Rows by table and key, in the shape in which the API returns them.
        accounts: Pendo account id (a web domain) -> id of the Pipedrive organization.
        deal_items: Deal id -> ids of its line items.
        items_move_deals: Whether a change of a line item counts as a change of its deal, which the
            documentation leaves open.
        tick_per_edit: Seconds that the clock moves with each edit; 0 puts edits into one second.
        time_zone: The Pendo subscription's time zone; see `set_time_zone`.
        usage_days: Days up to the present for which there are Pendo events.
        usage_per_day: Activities of a usual day.
    """

    def __init__(
        self,
        scale: float = 1.0,
        seed: int = 7,
        now: datetime = DEFAULT_NOW,
        *,
        time_zone: str = "America/New_York",
        usage_days: float = 20,
        usage_per_day: int | None = None,
    ) -> None:
        """Invent the company.

        Args:
            scale: Size of the large tables; 1.0 is 8,000 deals.
            seed: Another seed, another company.
            now: The company's present; every row is older.
            time_zone: Time zone of the Pendo subscription.
            usage_days: Days of Pendo events; they are made when they are first asked for.
            usage_per_day: Activities of a usual day; by default 1,500 at full scale.
        """
        super().__init__()
        self.seed = seed
        self.scale = scale
        self.tick_per_edit: float = 1.0
        self.items_move_deals = True
        self.time_zone = time_zone
        self.usage_days = usage_days
        self.usage_per_day = usage_per_day or max(20, round(1500 * scale))
        self._analytics: Analytics | None = None
        self._now = now.timestamp()
        self._born = self._now
        self.accounts: dict[str, int] = {}
        self.deal_items: dict[int, list[int]] = {}
        self._build()
        self._prototypes: dict[str, bytes] = {}
        for name, rows in self.tables.items():
            if rows:
                self._prototypes[name] = msgspec.json.encode(next(iter(rows.values())))
            for row in rows.values():
                self._tally(name, row, 1)
        self._last: dict[str, int] = {
            name: max((key for key in rows if isinstance(key, int)), default=0)
            for name, rows in self.tables.items()
        }

    # Building

    def _inventor(self, topic: str) -> Inventor:
        return Inventor(self.seed, topic, self._now)

    def inventor(self, topic: str) -> Inventor:
        """A source of chance whose present is the one that the company was made in."""
        return Inventor(self.seed, topic, self._born)

    def _build(self) -> None:
        def size(full: int, least: int = 3) -> int:
            return max(least, round(full * self.scale))

        new, t = self._inventor, self.tables
        t["permission_sets"] = office.permission_sets(8, new("permission sets"))
        t["roles"] = office.roles(12, new("roles"))
        t["users"] = office.users(40, t["permission_sets"], new("users"))
        users = len(t["users"])
        t["currencies"] = office.currencies(40)
        t["activity_types"] = office.activity_types(12, new("activity types"))
        t["filters"] = office.filters(25, users, new("filters"))
        t["lead_labels"] = office.lead_labels(new("lead labels"))
        t["pipelines"] = office.pipelines(4, new("pipelines"))
        t["stages"] = office.stages(20, 4, new("stages"))
        for entity in fields.SYSTEM:
            t[f"{entity}_fields"] = fields.definitions(entity, new(f"{entity} fields"))
        limits = {"user": users, "org": size(3000), "people": size(9000)}
        values = {entity: fields.Values(t[f"{entity}_fields"], limits) for entity in fields.SYSTEM}
        t["organizations"], domains = contacts.organizations(
            size(3000), users, values["organization"], new("organizations")
        )
        t["persons"] = contacts.persons(
            size(9000), users, t["organizations"], values["person"], new("persons")
        )
        t["products"] = contacts.products(size(800), users, values["product"], new("products"))
        t["deals"] = sales.deals(
            size(8000),
            users,
            t["persons"],
            t["stages"],
            values=values["deal"],
            source=new("deals"),
        )
        t["deal_products"] = sales.line_items(
            size(6000), t["deals"], t["products"], new("line items")
        )
        for key, row in t["deal_products"].items():
            self.deal_items.setdefault(row["deal_id"], []).append(key)
        t["leads"] = sales.leads(
            size(1500),
            size(250),
            users=users,
            persons=t["persons"],
            labels=t["lead_labels"],
            values=values["deal"],
            source=new("leads"),
        )
        t["activities"] = sales.activities(
            size(12000),
            users,
            t["activity_types"],
            deals_=t["deals"],
            persons=t["persons"],
            source=new("activities"),
        )
        t["notes"] = sales.notes(
            size(3000), t["users"], t["deals"], t["organizations"], new("notes")
        )
        t["files"] = sales.files(size(1500), users, t["deals"], new("files"))
        # About one organization in seven uses the product.
        self.accounts = dict(list(domains.items())[:: 5 if self.scale > 0.05 else 1])
        t["pages"] = usage.pages(size(300), new("pages"))
        t["features"] = usage.features(size(800), t["pages"], new("features"))
        t["guides"] = usage.guides(size(100), t["pages"], list(self.accounts), new("guides"))
        t["reports"] = usage.reports(size(30), new("reports"))
        t["track_types"] = catalogue.track_types(size(30, 6), new("track types"))
        t["segments"] = catalogue.segments(size(20), new("segments"))

    def _tally(self, table: str, row: Row, step: int) -> None:
        """Add a row to, or take it from, the counters of the rows that it belongs to."""
        if table == "deals":
            if row["is_deleted"]:
                return
            kind = row["status"]
            names = ["open"] if kind == "open" else ["closed", kind]
            for parent, key in (("persons", row["person_id"]), ("organizations", row["org_id"])):
                self._count(parent, key, [f"{name}_deals_count" for name in names], step)
        elif table == "persons":
            self._count("organizations", row["org_id"], ["people_count"], step)
        elif table == "deal_products":
            self._count("deals", row["deal_id"], ["products_count"], step)
        elif table in {"activities", "notes", "files"}:
            names = [f"{table}_count"]
            if table == "activities":
                names.append("done_activities_count" if row["done"] else "undone_activities_count")
            for parent, attribute in (
                ("deals", "deal_id"),
                ("persons", "person_id"),
                ("organizations", "org_id"),
            ):
                self._count(parent, row[attribute], names, step)

    def _count(self, table: str, key: Key, names: list[str], step: int) -> None:
        row = self.tables[table].get(key)
        if row is None:
            return
        for name in names:
            row[name] += step
        self.touch_bytes(table, key)

    # Clock

    @property
    def now(self) -> datetime:
        """The company's present."""
        return datetime.fromtimestamp(self._now, timezone.utc)

    def tick(self, seconds: float = 1.0) -> datetime:
        """Move the clock; deals that were deleted 30 days ago are gone for good."""
        with self.lock:
            self._now += seconds
            if seconds >= 60:
                edge = z(self._now - RETENTION)
                deals = self.tables["deals"]
                for key in [k for k, row in deals.items() if row["is_deleted"]]:
                    if (deals[key]["update_time"] or "") < edge:
                        self._remove("deals", key)
                        for item in self.deal_items.pop(key, []):
                            self._remove("deal_products", item)
            return self.now

    def stamp(self, table: str) -> Any:
        """The present in the style of a table."""
        return TABLES[table].write(self._now)

    # Reading

    def rows(
        self,
        stream: str,
        *,
        granularity: str = "hour",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Row]:
        """Copies of the rows that a complete reading of a stream returns.

        Archived and deleted deals are among the deals, archived leads among the leads, and every
        attribute that must be asked for is there. Of Pendo's later streams: the rows as the API
        gives them, of all applications, anonymous visitors included; results of reports as
        `{"reportId", "row"}`, histories with a `visitorId`, metadata as one row a field.

        Args:
            stream: The stream's name.
            granularity: For event streams, the buckets: only whole ones that have ended count.
            since: For event streams and histories, start with the bucket that holds this instant.
            until: The same, end before this instant (exclusive); by default the present. A later
                one takes the bucket in progress for ended, as a client with another clock does.
        """
        name = stream.removeprefix("pendo_")
        if stream.startswith("pendo_") and name in STREAMS:
            with self.lock:
                bounds = [None if at is None else epoch_ms(at.timestamp()) for at in (since, until)]
                now = epoch_ms(self._now)
                found = self.analytics.rows(name, now, granularity, *bounds)
                copies: list[Row] = msgspec.json.decode(msgspec.json.encode(found))
            return copies
        table = stream.removeprefix("pipedrive_").removeprefix("pendo_")
        with self.lock:
            data = msgspec.json.encode(list(self.tables[table].values()))
        rows: list[Row] = msgspec.json.decode(data)
        return rows

    def get(self, table: str, key: Key) -> Row:
        """A copy of one row."""
        with self.lock:
            row: Row = msgspec.json.decode(msgspec.json.encode(self.tables[table][key]))
        return row

    # Pendo's users and events

    @property
    def analytics(self) -> Analytics:
        """Pendo's users and events, made at the first use."""
        with self.lock:
            if self._analytics is None:
                self._analytics = Analytics(self)
            return self._analytics

    def add_events(
        self,
        count: int = 100,
        *,
        days_back: float = 0.0,
        spread: float = 1.0,
        visitor: str | None = None,
    ) -> None:
        """Let events arrive now which happened within `spread` days before `days_back` days ago.

        Half of them change the measures of rows that exist, the others make new rows; with a
        visitor all of them are of that visitor. Some guide and poll events are among them.
        """
        with self.lock:
            analytics = self.analytics
            self.tick(self.tick_per_edit)
            analytics.add_events(epoch_ms(self._now), count, days_back, spread, visitor)

    def edit_page_rule(self, page_id: str) -> Row:
        """Change a page's rule: Pendo rebuilds all of its events, back to the first."""
        return self._edit_rule("pages", page_id)

    def edit_feature_rule(self, feature_id: str) -> Row:
        """Change a feature's rule: Pendo rebuilds all of its events, back to the first."""
        return self._edit_rule("features", feature_id)

    def _edit_rule(self, table: str, key: str) -> Row:
        with self.lock:
            self.analytics.rebuild(key)
            stamp = datetime.fromtimestamp(self._now + 1, timezone.utc).strftime("%Y%m%d%H%M%S")
            return self.edit(table, key, stableVersionId=f"{key}-{stamp}.{len(key) * 1001:09d}")

    def set_time_zone(self, name: str) -> None:
        """Move the Pendo subscription to another time zone: its days start elsewhere."""
        with self.lock:
            self.time_zone = name
            if self._analytics is not None:
                self._analytics.set_calendar(name)

    def edit_visitor(self, visitor: str, group: str = "custom", **values: Any) -> Row:
        """Set metadata of a visitor, who counts as updated now."""
        with self.lock:
            analytics = self.analytics
            self.tick(self.tick_per_edit)
            row = analytics.people.visitors[visitor]
            analytics.people.edit(row, group, values, epoch_ms(self._now))
            return row

    def edit_account(self, account: str, group: str = "custom", **values: Any) -> Row:
        """Set metadata of an account, which counts as updated now."""
        with self.lock:
            analytics = self.analytics
            self.tick(self.tick_per_edit)
            row = analytics.people.accounts[account]
            analytics.people.edit(row, group, values, epoch_ms(self._now))
            return row

    def add_visitor(self, visitor: str, accounts: list[str] | None = None) -> Row:
        """Add a visitor, of these accounts."""
        with self.lock:
            analytics = self.analytics
            self.tick(self.tick_per_edit)
            return analytics.people.add_visitor(visitor, accounts or [], epoch_ms(self._now))

    def delete_visitor(self, visitor: str) -> None:
        """Delete a visitor; the events stay."""
        with self.lock:
            people = self.analytics.people
            self.tick(self.tick_per_edit)
            del people.visitors[visitor]

    # Editing

    def edit(self, table: str, key: Key, **changes: Any) -> Row:
        """Change a row and stamp it; returns the row."""
        with self.lock:
            self.tick(self.tick_per_edit)
            row = self.tables[table][key]
            self._tally(table, row, -1)
            row.update(changes)
            self._tally(table, row, 1)
            self._stamp(table, key, changes)
            if table == "deal_products":
                self._item_changed(row)
            return row

    def _item_changed(self, item: Row) -> None:
        if self.items_move_deals and item["deal_id"] in self.tables["deals"]:
            self._stamp("deals", item["deal_id"])

    def _stamp(self, table: str, key: Key, given: dict[str, Any] | None = None) -> None:
        updated = TABLES[table].updated
        if updated is not None and updated not in (given or {}):
            self.tables[table][key][updated] = self.stamp(table)
        self.touch(table, key)

    def add(self, table: str, **values: Any) -> Row:
        """Add a row made after the table's first one, with these values; returns the row."""
        with self.lock:
            self.tick(self.tick_per_edit)
            info = TABLES[table]
            row: Row = msgspec.json.decode(self._prototypes[table])
            key: Key = values.get(info.key) or self._new_key(table, row[info.key])
            row[info.key] = key
            for name in row:
                if name.endswith("_count") and isinstance(row[name], int):
                    row[name] = 0
            for attribute in (info.added, info.updated):
                if attribute is not None:
                    row[attribute] = self.stamp(table)
            for name in ("is_deleted", "is_archived"):
                if name in row:
                    row[name] = False
            if table == "deals":
                row |= {"status": "open", "archive_time": None}
            row.update(values)
            self.tables[table][key] = row
            if table == "deal_products":
                self.deal_items.setdefault(row["deal_id"], []).append(key)
            self._tally(table, row, 1)
            self.touch(table, key)
            if table == "deal_products":
                self._item_changed(row)
            return row

    def _new_key(self, table: str, example: Key) -> Key:
        if isinstance(example, int):
            self._last[table] += 1
            return self._last[table]
        # Not from a shared source: the same edits give the same keys whatever else happened.
        self._last[table] += 1
        value = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.seed}:{table}:{self._last[table]}")
        if table.endswith("_fields"):
            return f"{value.hex}{self._last[table]:08x}"
        return str(value)

    def delete(self, table: str, key: Key) -> None:
        """Delete a row: a deal stays, as deleted, for 30 days; anything else vanishes."""
        with self.lock:
            row = self.tables[table][key]
            if table == "deals":
                self.edit("deals", key, is_deleted=True, status="deleted")
                return
            self.tick(self.tick_per_edit)
            self._tally(table, row, -1)
            self._remove(table, key)
            if table == "deal_products":
                self.deal_items[row["deal_id"]].remove(key)
                self._item_changed(row)

    def _remove(self, table: str, key: Key) -> None:
        del self.tables[table][key]
        self.touch(table, key)

    def archive_deal(self, key: int) -> Row:
        """Move a deal to the archive."""
        with self.lock:
            row = self.edit("deals", key, is_archived=True)
            row["archive_time"] = self.stamp("deals")
            return row

    def unarchive_deal(self, key: int) -> Row:
        """Move a deal back from the archive."""
        return self.edit("deals", key, is_archived=False, archive_time=None)

    def archive_lead(self, key: str) -> Row:
        """Move a lead to the archive."""
        return self.edit("leads", key, is_archived=True)

    def add_product_to_deal(self, deal_id: int, product_id: int, **values: Any) -> Row:
        """Add a line item to a deal; the deal counts as changed."""
        with self.lock:
            self.tick(self.tick_per_edit)
            self._last["deal_products"] += 1
            key = self._last["deal_products"]
            deal, product = self.tables["deals"][deal_id], self.tables["products"][product_id]
            source = self._inventor(f"line item {key}")
            row = sales.line_item(key, deal, product, moment=self._now, order=1, source=source)
            row |= values
            self.tables["deal_products"][key] = row
            self.deal_items.setdefault(deal_id, []).append(key)
            self._tally("deal_products", row, 1)
            self.touch("deal_products", key)
            self._item_changed(row)
            return row

    def remove_product_from_deal(self, key: int) -> None:
        """Take a line item off its deal; the deal counts as changed."""
        self.delete("deal_products", key)

    def add_custom_field(self, entity: str, field_type: str, name: str) -> Row:
        """Define a custom field for "deal", "person", "organization" or "product"."""
        table = f"{entity}_fields"
        with self.lock:
            code = self._new_key(table, "")
            source = self._inventor(f"{table} {code}")
            row = fields.definition(entity, code, field_type, name, source, custom=True)
            self.tables[table][code] = row
            self.touch(table, code)
            return row

    def rename_custom_field(self, entity: str, code: str, name: str) -> Row:
        """Give a field another name; its code stays."""
        return self.edit(f"{entity}_fields", code, field_name=name)
