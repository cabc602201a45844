"""The invented company: its tables, its clock and its edits."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from tests.sandbox import (
    catalogue,
    contacts,
    fields,
    mailbox,
    office,
    projects,
    relations,
    sales,
    usage,
)
from tests.sandbox.analytics import STREAMS, Analytics
from tests.sandbox.store import Key, Store
from tests.sandbox.tables import (
    ALL_TABLES,
    BELONGS,
    LISTED,
    MENTIONS,
    TABLES,
    UNIQUE,
)
from tests.sandbox.vocabulary import Inventor, epoch_ms, z

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.sandbox.fields import Row

# Tests take the first tables from here.
__all__ = ["DEFAULT_NOW", "TABLES", "Company"]

DEFAULT_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
DAY = 86400
# The API forgets a deleted deal after this long.
RETENTION = 30 * DAY
# What no flow tells of: attributes that change with every edit, and those that follow from others.
SILENT = {"update_time", "is_deleted", "archive_time"}


class Company(Store):
    """A company that uses Pipedrive to sell and Pendo to watch its product.

    The same arguments make the same rows. Every edit moves the company's clock one second on
    (`tick_per_edit`) and stamps the rows that it changes.

    Attributes:
        tables: Rows by table and key, in the shape in which the API returns them; children with the
            id of their parent, participants and relationships without what v1 puts around them.
        accounts: Pendo account id (a web domain) -> id of the Pipedrive organization.
        deal_items: Deal id -> ids of its line items.
        items_move_deals: Whether a change of a line item counts as a change of its deal, which the
            documentation leaves open.
        children_move_parents: The same of followers, participants, installments, variations,
            comments and messages.
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
        self.children_move_parents = True
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
        self._build_more(size, values)
        # About one organization in seven uses the product.
        self.accounts = dict(list(domains.items())[:: 5 if self.scale > 0.05 else 1])
        t["pages"] = usage.pages(size(300), new("pages"))
        t["features"] = usage.features(size(800), t["pages"], new("features"))
        t["guides"] = usage.guides(size(100), t["pages"], list(self.accounts), new("guides"))
        t["reports"] = usage.reports(size(30), new("reports"))
        t["track_types"] = catalogue.track_types(size(30, 6), new("track types"))
        t["segments"] = catalogue.segments(size(20), new("segments"))

    def _build_more(self, size: Callable[..., int], values: dict[str, fields.Values]) -> None:
        new, t = self._inventor, self.tables
        users = len(t["users"])
        t["goals"] = office.goals(12, users, new("goals"))
        t["legacy_teams"] = office.legacy_teams(6, users, new("legacy teams"))
        t["lead_sources"] = office.lead_sources()
        t["note_fields"] = office.note_fields()
        t["lead_fields"] = fields.lead_fields(t["deal_fields"], new("lead fields"))
        for entity, share in (
            *(("deal", 0.2), ("person", 0.05)),
            *(("organization", 0.1), ("product", 0.1)),
        ):
            t[f"{entity}_followers"] = relations.followers(
                f"{entity}_id", share, t[f"{entity}s"], users, new(f"{entity} followers")
            )
        t["deal_participants"] = relations.participants(
            t["deals"], t["persons"], users, new("participants")
        )
        t["deal_installments"] = relations.installments(t["deals"], new("installments"))
        t["deal_flow"] = relations.flow(t["deals"], values["deal"], new("flow"))
        t["product_variations"] = relations.variations(t["products"], new("variations"))
        t["note_comments"] = relations.comments(t["notes"], users, new("comments"))
        t["organization_relationships"] = relations.relationships(
            size(300), t["organizations"], new("relationships")
        )
        t["role_assignments"] = relations.role_assignments(t["users"], t["roles"])
        t["role_settings"] = relations.role_settings(t["roles"], new("role settings"))
        t["permission_set_assignments"] = relations.set_assignments(
            t["users"], t["permission_sets"]
        )
        t["project_boards"] = projects.boards(3, new("boards"))
        t["project_phases"] = projects.phases(t["project_boards"], new("phases"))
        t["project_templates"] = projects.templates(
            7, users, t["project_boards"], new("project templates")
        )
        t["projects"] = projects.projects(
            size(300, 24),
            users,
            t["deals"],
            t["project_phases"],
            values=values["project"],
            source=new("projects"),
        )
        t["tasks"] = projects.tasks(size(900, 40), users, t["projects"], new("tasks"))
        t["mail_threads"] = mailbox.threads(
            size(400, 20), t["deals"], t["persons"], new("mail threads")
        )
        t["mail_messages"] = mailbox.messages(t["mail_threads"], t["persons"], new("mail messages"))
        t["call_logs"] = mailbox.call_logs(size(300, 20), t["activities"], new("call logs"))

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
                gone = self.tables["projects"]
                for key in [k for k, row in gone.items() if row["status"] == "deleted"]:
                    if gone[key]["update_time"][:19] < edge[:19]:
                        self._remove("projects", key)
            return self.now

    def stamp(self, table: str) -> Any:
        """The present in the style of a table."""
        return ALL_TABLES[table].write(self._now)

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
        `{"reportId", "row"}`, histories with a `visitorId`, metadata as one row a field. Rows of
        Pipedrive's children have the id of their parent, a mail thread comes once for each `folder`
        and a relationship once for each of its organizations, the changes of deals without what is
        around them. Deleted projects are not among the projects.

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
            data = msgspec.json.encode(list(self._whole(table)))
        rows: list[Row] = msgspec.json.decode(data)
        return rows

    def _whole(self, table: str) -> Iterable[Row]:
        rows = self.tables[table].values()
        if table == "deal_participants":
            return (relations.participant(self.tables, row) for row in rows)
        if table == "organization_relationships":
            return (
                relations.relationship(self.tables, row, row[side])
                for side in BELONGS[table]
                for row in rows
            )
        if table == "mail_threads":
            return (row | {"folder": folder} for row in rows for folder in row["folders"])
        if table == "projects":
            return (row for row in rows if row["status"] != "deleted")
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
        """Change a row and stamp it; returns the row. The flow tells of changes of deals."""
        with self.lock:
            self.tick(self.tick_per_edit)
            return self._edit(table, key, changes)

    def _edit(self, table: str, key: Key, changes: dict[str, Any]) -> Row:
        row = self.tables[table][key]
        if table == "deals":
            self._log(row, changes)
        self._tally(table, row, -1)
        row.update(changes)
        self._tally(table, row, 1)
        self._stamp(table, key, changes)
        if table == "deal_products":
            self._item_changed(row)
        self._child_changed(table, row)
        return row

    def _log(self, deal: Row, changes: dict[str, Any]) -> None:
        pairs = {name: (deal.get(name), new) for name, new in changes.items() if name not in SILENT}
        before, after = pairs.pop("custom_fields", ({}, {}))
        before = before or {}
        pairs |= {code: (before.get(code), after.get(code)) for code in {**before, **after}}
        for name, (old, new) in pairs.items():
            if old != new and not name.endswith("_count"):
                key = self._new_key("deal_flow", 1)
                self.tables["deal_flow"][key] = relations.change(
                    key, deal, name, (old, new), moment=self.stamp("deal_flow")
                )
                self.touch("deal_flow", key)

    def _child_changed(self, table: str, row: Row) -> None:
        if not self.children_move_parents or table not in BELONGS or table in LISTED:
            return
        # Of a row with two parents the first one: the deal of a participant.
        attribute, parent = next(iter(BELONGS[table].items()))
        # Comments name their note by a text.
        key = int(row[attribute]) if parent == "notes" else row[attribute]
        if key in self.tables[parent]:
            self._stamp(parent, key)

    def _item_changed(self, item: Row) -> None:
        if self.items_move_deals and item["deal_id"] in self.tables["deals"]:
            self._stamp("deals", item["deal_id"])

    def _stamp(self, table: str, key: Key, given: dict[str, Any] | None = None) -> None:
        updated = ALL_TABLES[table].updated
        if updated is not None and updated not in (given or {}):
            self.tables[table][key][updated] = self.stamp(table)
        self.touch(table, key)

    def add(self, table: str, **values: Any) -> Row:
        """Add a row made after the table's first one, with these values; returns the row."""
        with self.lock:
            self.tick(self.tick_per_edit)
            key, row = self._fresh(table, values)
            self.tables[table][key] = row
            if table == "deal_products":
                self.deal_items.setdefault(row["deal_id"], []).append(key)
            self._tally(table, row, 1)
            self.touch(table, key)
            if table == "deal_products":
                self._item_changed(row)
            self._child_changed(table, row)
            return row

    def _fresh(self, table: str, values: dict[str, Any]) -> tuple[Key, Row]:
        """A key and a row like the table's first one, with these values."""
        info = ALL_TABLES[table]
        row: Row = msgspec.json.decode(self._prototypes[table])
        key: Key = values.get(info.key) or self._new_key(table, row[info.key] if info.key else 1)
        if info.key:
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
        if table in {"deals", "projects"}:
            row |= {"status": "open", "archive_time": None}
        return key, row | values

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
        """Delete a row: deals and projects stay, as deleted, for 30 days; anything else vanishes.

        What belongs to it vanishes with it.
        """
        with self.lock:
            row = self.tables[table][key]
            if table == "deals":
                self.edit("deals", key, is_deleted=True, status="deleted")
                return
            if table == "projects":
                self.edit("projects", key, status="deleted")
                return
            self.tick(self.tick_per_edit)
            self._tally(table, row, -1)
            self._remove(table, key)
            if table == "deal_products":
                self.deal_items[row["deal_id"]].remove(key)
                self._item_changed(row)
            self._child_changed(table, row)

    def _remove(self, table: str, key: Key) -> None:
        for child, links in BELONGS.items():
            for attribute in [name for name, parent in links.items() if parent == table]:
                for each in list(self.group(child, attribute, key)):
                    self._remove(child, each)
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

    def remove_follower(self, entity: str, parent_id: int, user_id: int) -> None:
        """A user no longer follows a "deal", "person", "organization" or "product"."""
        self._unlink(f"{entity}_followers", **{f"{entity}_id": parent_id, "user_id": user_id})

    def remove_participant(self, deal_id: int, person_id: int) -> None:
        """A person no longer takes part in a deal."""
        self._unlink("deal_participants", deal_id=deal_id, person_id=person_id)

    def remove_role_assignment(self, role_id: int, user_id: int) -> None:
        """A user no longer has a role."""
        self._unlink("role_assignments", role_id=role_id, user_id=user_id)

    def _unlink(self, table: str, **names: Any) -> None:
        with self.lock:
            found = [k for k, r in self.tables[table].items() if names.items() <= r.items()]
            if not found:
                message = f"no row of {table} with {names}"
                raise KeyError(message)
            for key in found:
                self.delete(table, key)

    def move_mail_thread(self, key: int, *folders: str) -> Row:
        """Move a mail thread to these folders, away from all others."""
        places = list(folders)
        return self.edit("mail_threads", key, folders=places, **mailbox.folder_flags(places))

    def archive_project(self, key: int) -> Row:
        """Move a project to the archive."""
        with self.lock:
            self.tick(self.tick_per_edit)
            return self._edit("projects", key, {"archive_time": self.stamp("projects")})

    def merge(self, table: str, gone: int, kept: int) -> Row:
        """Merge two "persons" or "organizations"; returns the one that is kept.

        The other one vanishes. Rows that mention it mention the kept one now and count as changed,
        all in one second, and so does the kept one.
        """
        with self.lock:
            self.tick(self.tick_per_edit)
            for other, attribute in MENTIONS[table]:
                for key, row in self.tables[other].items():
                    value = _replaced(row.get(attribute), gone, kept)
                    if value != row.get(attribute):
                        self._edit(other, key, {attribute: value})
            for child, links in BELONGS.items():
                for attribute in [name for name, parent in links.items() if parent == table]:
                    for key in list(self.group(child, attribute, gone)):
                        self._adopt(child, key, attribute, kept)
            self._tally(table, self.tables[table][gone], -1)
            self._remove(table, gone)
            return self._edit(table, kept, {})

    def _adopt(self, table: str, key: int, attribute: str, parent: int) -> None:
        """Give a row to another parent, unless that one has the same or is its other end."""
        rows = self.tables[table]
        moved = rows[key] | {attribute: parent}
        ends = [moved[name] for name in BELONGS[table]]
        same = {name: value for name, value in moved.items() if name in UNIQUE.get(table, ())}
        twice = same and any(same.items() <= row.items() for row in rows.values())
        if twice or len(set(ends)) < len(ends):
            self._remove(table, key)
        else:
            self._edit(table, key, {attribute: parent})

    def convert_lead(self, key: str) -> Row:
        """Make a deal of a lead, which vanishes; returns the deal."""
        with self.lock:
            lead = self.tables["leads"][key]
            kinds = {
                code: row["field_type"]
                for code, row in self.tables["deal_fields"].items()
                if row["is_custom_field"] and lead.get(code) is not None
            }
            money = lead["value"] or {"amount": 0, "currency": "EUR"}
            deal = self.add(
                "deals",
                title=lead["title"],
                owner_id=lead["owner_id"],
                person_id=lead["person_id"],
                org_id=lead["organization_id"],
                value=money["amount"],
                currency=money["currency"],
                expected_close_date=lead["expected_close_date"],
                label_ids=[],
                custom_fields={
                    code: fields.as_v2(code, kind, lead) for code, kind in kinds.items()
                },
                source_lead_id=key,
            )
            self._remove("leads", key)
            return deal

    # Custom fields

    def add_custom_field(self, entity: str, field_type: str, name: str, *, filled: int = 0) -> Row:
        """Define a custom field for "deal", "person", "organization", "product" or "project".

        Args:
            entity: Whose field it is; leads have those of deals.
            field_type: One of `fields.CUSTOM_TYPES`.
            name: The field's name.
            filled: On how many rows of each list it gets a value; of archived ones, too. Those rows
                count as changed, all in one second.
        """
        table = f"{entity}_fields"
        with self.lock:
            code: str = self._new_key(table, "")
            source = self._inventor(f"{table} {code}")
            row = fields.definition(entity, code, field_type, name, source, custom=True)
            self.tables[table][code] = row
            self.touch(table, code)
            if entity == "deal":
                number = 1 + max(each["id"] or 0 for each in self.tables["lead_fields"].values())
                self.tables["lead_fields"] |= fields.lead_field(
                    number, row, self.stamp("lead_fields")
                )
                self.touch("lead_fields")
            if filled:
                self.tick(self.tick_per_edit)
                self._fill(entity, row, filled, source)
            return row

    def _fill(self, entity: str, field: Row, count: int, source: Inventor) -> None:
        people, orgs = len(self.tables["persons"]), len(self.tables["organizations"])
        limits = {"user": len(self.tables["users"]), "people": people, "org": orgs}
        values = fields.Values({}, limits)
        code, kind = field["field_code"], field["field_type"]
        for table in fields.RECORDS[entity]:
            lists: dict[bool, list[Key]] = {}
            for key, row in self.tables[table].items():
                if not row.get("is_deleted") and row.get("status") != "deleted":
                    archived = bool(row.get("is_archived") or row.get("archive_time"))
                    lists.setdefault(archived, []).append(key)
            for keys in lists.values():
                for key in source.sample(keys, min(count, len(keys))):
                    value = values.value(field, source)
                    if table == "leads":
                        self._edit(table, key, fields.as_v1(code, kind, value))
                    else:
                        custom = self.tables[table][key]["custom_fields"] | {code: value}
                        self._edit(table, key, {"custom_fields": custom})

    def rename_custom_field(self, entity: str, code: str, name: str) -> Row:
        """Give a field another name; its code stays."""
        return self._redefine(entity, code, field_name=name)

    def rename_field_option(self, entity: str, code: str, option: int | str, label: str) -> Row:
        """Give an option another label; its id stays, and so do the rows that have it."""
        with self.lock:
            options = [
                each | {"label": label} if each["id"] == option else each
                for each in self.tables[f"{entity}_fields"][code]["options"]
            ]
            return self._redefine(entity, code, options=options)

    def remove_field_option(self, entity: str, code: str, option: int | str) -> Row:
        """Remove an option; rows that have it keep its id."""
        with self.lock:
            before = self.tables[f"{entity}_fields"][code]["options"]
            after = [each for each in before if each["id"] != option]
            return self._redefine(entity, code, options=after)

    def _redefine(self, entity: str, code: str, **changes: Any) -> Row:
        with self.lock:
            row = self.edit(f"{entity}_fields", code, **changes)
            if entity == "deal" and code in self.tables["lead_fields"]:
                self._redefine_lead_field(code, row)
            return row

    def _redefine_lead_field(self, code: str, field: Row) -> None:
        before = self.tables["lead_fields"][code]
        left = {option["id"] for option in field["options"] or ()}
        lost = [option for option in before["options"] or () if option["id"] not in left]
        after = fields.lead_field(before["id"], field, before["add_time"])
        after[code]["options_deleted"] = before["options_deleted"] + lost
        for key, row in after.items():
            self._edit("lead_fields", key, row | {"update_time": self.stamp("lead_fields")})

    def delete_custom_field(self, entity: str, code: str) -> None:
        """Delete a field: its values vanish from all rows, which do not count as changed."""
        with self.lock:
            self.tick(self.tick_per_edit)
            self._remove(f"{entity}_fields", code)
            if entity == "deal":
                for key in fields.of_code(self.tables["lead_fields"], code):
                    self._remove("lead_fields", key)
            for table in fields.RECORDS[entity]:
                # New rows are made after the first one, which must not bring the field back.
                first: Row = msgspec.json.decode(self._prototypes[table])
                for row in (first, *self.tables[table].values()):
                    values = row if table == "leads" else row["custom_fields"]
                    for name in fields.of_code(values, code):
                        del values[name]
                self._prototypes[table] = msgspec.json.encode(first)
                self.touch(table)


def _replaced(value: Any, gone: int, kept: int) -> Any:
    """The value with one id put for another, wherever it mentions it."""
    if isinstance(value, list):
        changed = [_replaced(item, gone, kept) for item in value]
        # Participants of an activity are objects, the persons of a project plain ids.
        return (
            changed if isinstance(value[0] if value else None, dict) else [*dict.fromkeys(changed)]
        )
    if isinstance(value, dict):
        return {k: _replaced(v, gone, kept) if k == "person_id" else v for k, v in value.items()}
    return kept if value == gone and not isinstance(value, bool) else value
