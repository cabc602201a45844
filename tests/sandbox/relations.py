"""What hangs on deals, persons, organizations, products, notes, roles and permission sets."""

from __future__ import annotations

from typing import Any

from tests.sandbox.fields import Row, Values
from tests.sandbox.store import Key
from tests.sandbox.vocabulary import LONG, Inventor, day, sql, z, z_ms

Table = dict[int, Row]
Tables = dict[str, dict[Key, Row]]
COMPANY_ID = 54235233
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:148.0) Gecko/20100101 Firefox/148.0"
# More changes than a page holds.
LONG_HISTORY = 520


def followers(link: str, share: float, parents: Table, users: int, source: Inventor) -> Table:
    """Users who follow a row; `link` names the attribute with its id, which the list leaves out."""
    rows: Table = {}
    for parent in parents:
        if source.chance(share):
            for user in sorted(source.sample(range(1, users + 1), 1 + source.below(3))):
                moment = z(source.moment())
                rows[len(rows) + 1] = {link: parent, "user_id": user, "add_time": moment}
    return rows


def participants(deals_: Table, persons: Table, users: int, source: Inventor) -> Table:
    """Further persons of a tenth of the deals, in short; `participant` writes them as the API."""
    rows: Table = {}
    for deal in deals_:
        if source.chance(0.1):
            count = min(len(persons), 1 + source.below(3))
            for person in source.sample(list(persons), count):
                key = len(rows) + 1
                rows[key] = {
                    "id": key,
                    "deal_id": deal,
                    "person_id": person,
                    "add_time": sql(source.moment()),
                    "active_flag": True,
                    "added_by_user_id": 1 + source.below(users),
                }
    return rows


def installments(deals_: Table, source: Inventor) -> Table:
    """Installments of every twentieth deal."""
    rows: Table = {}
    for deal in deals_:
        if source.chance(0.05):
            for part in range(1 + source.below(12)):
                key = len(rows) + 1
                rows[key] = {
                    "id": key,
                    "amount": 1.10 if part == 3 else source.money(9000),
                    "billing_date": day(source.now + 30 * 86400 * part),
                    "deal_id": deal,
                    "description": source.pick(("", "Delivery fee", source.sentence())),
                }
    return rows


def variations(products: Table, source: Inventor) -> Table:
    """Variations of every fifth product."""
    rows: Table = {}
    for product in products:
        if source.chance(0.2):
            for _ in range(1 + source.below(4)):
                key = len(rows) + 1
                rows[key] = {
                    "id": key,
                    "name": source.sentence(),
                    "product_id": product,
                    "prices": [
                        {
                            "product_variation_id": key,
                            "price": source.money(5000),
                            "currency": currency,
                            "cost": source.money(2000),
                            "direct_cost": source.maybe(0.3, source.money(500)),
                            "notes": "",
                        }
                        for currency in ("EUR", "USD")[: source.below(3)]
                    ],
                }
    return rows


def comments(notes: Table, users: int, source: Inventor) -> dict[str, Row]:
    """Comments on every eighth note, by UUID."""
    rows: dict[str, Row] = {}
    for note in notes:
        if source.chance(0.125):
            for _ in range(1 + source.below(3)):
                key, added = source.uuid(), source.moment()
                user = 1 + source.below(users)
                rows[key] = {
                    "uuid": key,
                    "active_flag": True,
                    "add_time": z_ms(added + 0.75),
                    "update_time": z_ms(source.moment(since=added) + 0.648),
                    "content": LONG if source.chance(0.005) else f"<p>{source.sentence()}</p>",
                    "object_id": str(note),
                    "object_type": "note",
                    "user_id": user,
                    "updater_id": source.pick((user, 1)),
                    "company_id": COMPANY_ID,
                }
    return rows


def relationships(count: int, orgs: Table, source: Inventor) -> Table:
    """Ties between two organizations, in short; `relationship` writes them as the API does."""
    rows: Table = {}
    for key in range(1, count + 1):
        owner, linked = source.sample(list(orgs), 2)
        added = source.moment()
        rows[key] = {
            "id": key,
            "type": source.pick(("parent", "related")),
            "rel_owner_org_id": owner,
            "rel_linked_org_id": linked,
            "add_time": sql(added),
            "update_time": sql(source.moment(since=added)),
            "active_flag": "true",
        }
    return rows


def role_assignments(users: Table, roles: Table) -> Table:
    """Who has which role: as the users say."""
    return {
        number: assignment(roles[user["role_id"]], user["id"])
        for number, user in enumerate(users.values(), 1)
    }


def assignment(role: Row, user: int) -> Row:
    """A user's role."""
    return {
        "user_id": user,
        "role_id": role["id"],
        "parent_role_id": role["parent_role_id"],
        "name": role["name"],
        "active_flag": role["active_flag"],
        "type": "1",
    }


def role_settings(roles: Table, source: Inventor) -> Table:
    """Default visibilities of a role, by its id, which the answer leaves out."""
    rows: Table = {}
    for role in roles:
        rows[role] = {"role_id": role} | {
            f"{kind}_default_visibility": source.pick((1, 3, 5, 7))
            for kind in ("deal", "lead", "org", "person", "product")
        }
        if role % 4:
            kinds = ("deal", "org", "person", "product")
            rows[role] |= {f"{kind}_access_level": source.pick((1, 3, 5)) for kind in kinds}
    return rows


def set_assignments(users: Table, sets: dict[str, Row]) -> Table:
    """Who has which permission set: as the users' access says."""
    rows: Table = {}
    for user in users.values():
        for access in user["access"]:
            key = access["permission_set_id"]
            name = sets[key]["name"]
            rows[len(rows) + 1] = {"user_id": user["id"], "permission_set_id": key, "name": name}
    return rows


# The flow of deals

_PLAIN_CHANGES = ("value", "title", "stage_id", "status", "label_ids", "probability", "add_time")


def change(
    key: int, deal: Row, name: str, values: tuple[Any, Any], *, moment: str, source: str = "app"
) -> Row:
    """One change of a deal: the `data` of a row of its flow."""
    old, new = values
    return {
        "id": key,
        "item_id": deal["id"],
        "user_id": deal["owner_id"],
        "field_key": name,
        "old_value": old,
        "new_value": new,
        "is_bulk_update_flag": None if key % 3 else True,
        "log_time": moment,
        "change_source": source,
        "change_source_user_agent": AGENT if source == "app" else None,
        "additional_data": [] if key % 2 else {"new_value_formatted": str(new)},
    }


def _values(name: str, deal: Row, source: Inventor) -> tuple[Any, Any]:
    if name == "value":
        return source.pick((None, 0, source.money(9000))), deal["value"]
    if name == "title":
        return source.sentence(), deal["title"]
    if name == "label_ids":
        return [11], deal["label_ids"]
    if name == "add_time":
        return None, deal["add_time"]
    return source.pick((None, 1, "1")), deal[name]


def flow(deals_: Table, values: Values, source: Inventor) -> Table:
    """Changes of a sixteenth of the deals, 2 to 30 each, and one deal with more than a page."""
    found: list[tuple[float, Row, str, tuple[Any, Any]]] = []
    long = next(row for row in deals_.values() if not row["is_archived"] and not row["is_deleted"])
    for deal in deals_.values():
        if deal is not long and not source.chance(1 / 16):
            continue
        for _ in range(LONG_HISTORY if deal is long else 2 + source.below(29)):
            if source.chance(0.3):
                field = source.pick(values.fields)
                name = field["field_code"]
                pair = (source.maybe(0.5, values.value(field, source)), None)
                if source.chance(0.7):
                    pair = (pair[0], values.value(field, source))
            else:
                name = source.pick(_PLAIN_CHANGES)
                pair = _values(name, deal, source)
            found.append((source.moment(400), deal, name, pair))
    found.sort(key=lambda entry: entry[0])
    return {
        key: change(key, deal, name, pair, moment=sql(moment), source=source.pick(("app", "api")))
        for key, (moment, deal, name, pair) in enumerate(found, 1)
    }


# In the API's words


def _user(tables: Tables, key: int) -> Row:
    user = tables["users"].get(key) or {"name": "", "email": "", "active_flag": False}
    return {
        "id": key,
        "name": user["name"],
        "email": user["email"],
        "has_pic": 0,
        "pic_hash": None,
        "active_flag": user["active_flag"],
        "value": key,
    }


def _organization(tables: Tables, key: Key) -> Row | None:
    org = tables["organizations"].get(key)
    if org is None:
        return None
    return {
        "name": org["name"],
        "people_count": org["people_count"],
        "owner_id": org["owner_id"],
        "address": org["address"] and org["address"]["value"],
        "label_ids": org["label_ids"],
        "active_flag": True,
        "cc_email": org["smart_bcc_email"],
        "value": key,
    }


def participant(tables: Tables, row: Row) -> Row:
    """A participant of a deal, with all that v1 puts around it."""
    deal, person = tables["deals"][row["deal_id"]], tables["persons"][row["person_id"]]
    contact = {"email": person["emails"], "phone": person["phones"]}
    adder: Row = _user(tables, row["added_by_user_id"])
    if row["id"] % 5:
        # The reference describes this form, its example shows the other one.
        adder = {"success": True, "data": tables["users"][row["added_by_user_id"]]}
    return row | {
        "person_id": {
            "active_flag": True,
            "name": person["name"],
            **contact,
            "owner_id": person["owner_id"],
            "company_id": COMPANY_ID,
            "value": person["id"],
        },
        "related_item_data": {"deal_id": deal["id"], "title": deal["title"]},
        "person": {
            **{name: value for name, value in person.items() if name.endswith("_count")},
            "id": person["id"],
            "company_id": COMPANY_ID,
            "owner_id": _user(tables, person["owner_id"]),
            "org_id": _organization(tables, person["org_id"]),
            "name": person["name"],
            "first_name": person["first_name"],
            "last_name": person["last_name"],
            "active_flag": True,
            **contact,
            "first_char": person["name"][:1].lower(),
            "add_time": person["add_time"][:19].replace("T", " "),
            "update_time": (person["update_time"] or "")[:19].replace("T", " ") or None,
            "visible_to": str(person["visible_to"]),
            "picture_id": _picture(person),
            "sync_needed": False,
            "next_activity_id": person["next_activity_id"],
            "next_activity_date": None,
            "next_activity_time": None,
            "last_activity_id": person["last_activity_id"],
            "last_activity_date": None,
            "last_incoming_mail_time": person["last_incoming_mail_time"],
            "last_outgoing_mail_time": person["last_outgoing_mail_time"],
            "label": person["label_ids"][0] if person["label_ids"] else None,
            "label_ids": person["label_ids"],
            "org_name": (_organization(tables, person["org_id"]) or {}).get("name"),
            "owner_name": _user(tables, person["owner_id"])["name"],
            "cc_email": person["smart_bcc_email"],
        },
        "added_by_user_id": adder,
        "related_item_type": "deal",
        "related_item_id": deal["id"],
    }


def _picture(person: Row) -> Row | None:
    if person["picture_id"] is None:
        return None
    return {
        "id": person["picture_id"],
        "item_type": "person",
        "item_id": person["id"],
        "active_flag": True,
        "add_time": person["add_time"][:19].replace("T", " "),
        "update_time": "0000-00-00 00:00:00",
        "added_by_user_id": 1,
        "pictures": {
            str(width): f"https://pictures.example/{person['id']}_{width}.jpg"
            for width in (128, 512)
        },
    }


def relationship(tables: Tables, row: Row, org: int) -> Row:
    """A tie between two organizations, as the one of them sees it."""
    owner, linked = row["rel_owner_org_id"], row["rel_linked_org_id"]
    other = linked if org == owner else owner
    kind = row["type"]
    if kind == "parent":
        kind = "daughter" if org == owner else "parent"
    return row | {
        "related_organization_name": tables["organizations"][other]["name"],
        "calculated_type": kind,
        "calculated_related_org_id": other,
        "rel_owner_org_id": _organization(tables, owner),
        "rel_linked_org_id": _organization(tables, linked),
    }
