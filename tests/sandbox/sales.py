"""Deals, their line items, leads, activities, notes and files of the invented company."""

from __future__ import annotations

from tests.sandbox.contacts import changed
from tests.sandbox.fields import Row, Values, as_v1
from tests.sandbox.office import NEVER
from tests.sandbox.vocabulary import LONG, Inventor, day, sql, words, z, z_ms

Table = dict[int, Row]
DAY = 86400.0
DEAL_COUNTERS = words(
    "products_count files_count notes_count followers_count email_messages_count "
    "activities_count done_activities_count undone_activities_count participants_count"
)
DEAL_OPTIONAL = (
    "next_activity_id",
    "last_activity_id",
    "first_won_time",
    *DEAL_COUNTERS,
    "last_incoming_mail_time",
    "last_outgoing_mail_time",
    "smart_bcc_email",
    "source_lead_id",
)


def deals(
    count: int, users: int, persons: Table, stages: Table, *, values: Values, source: Inventor
) -> Table:
    """Deals: of 8,000 about 600 are archived and 150 were deleted in the last 30 days."""
    rows: Table = {}
    # One import and one bulk edit, each more than a page of rows with one and the same second.
    bulk = float(int(source.now - 3 * DAY))
    people, steps = list(persons.values()), list(stages.values())
    for place in range(count):
        key = place + 1 + place // 50  # the ids of deals that were purged long ago are missing
        added = source.moment(since=source.now - 2400 * DAY)
        updated = changed(source, added, bulk, 0.09)
        status = source.pick(("open", "open", "won", "lost"))
        closed = source.moment(since=added) if status != "open" else None
        stage = source.pick(steps)
        person = source.pick(people) if people and source.chance(0.85) else None
        archived = place % 40 in {7, 21, 33}
        deleted = place % 53 == 5 or (archived and place % 20 == 1 and place % 9 == 0)
        if deleted:
            updated = source.moment(29)
        close = z(closed) if closed else None
        rows[key] = {
            "id": key,
            "title": LONG[:9000] if key == 77 else source.sentence(),
            "creator_user_id": 1 + source.below(users),
            "owner_id": 1 + source.below(users),
            "person_id": person["id"] if person else None,
            "org_id": person["org_id"] if person else source.maybe(0.5, 1),
            "pipeline_id": stage["pipeline_id"],
            "stage_id": stage["id"],
            "value": 1.10 if source.chance(0.02) else source.money(10 ** (2 + source.below(7))),
            "currency": source.pick(("EUR", "USD", "GBP", "JPY")),
            "add_time": None if place % 400 == 399 else z(added),
            "update_time": None if place % 250 == 249 and not deleted else z(updated),
            "stage_change_time": source.maybe(0.6, z(source.moment(since=added))),
            "archive_time": z(source.moment(since=added)) if archived else None,
            "is_deleted": deleted,
            "is_archived": archived,
            "status": "deleted" if deleted else status,
            "probability": source.maybe(0.2, 5 * source.below(21)),
            "lost_reason": source.sentence() if status == "lost" else None,
            "visible_to": source.pick((1, 3, 5, 7)),
            "close_time": close,
            "won_time": close if status == "won" else None,
            "lost_time": close if status == "lost" else None,
            "local_won_date": day(closed) if closed and status == "won" else None,
            "local_lost_date": day(closed) if closed and status == "lost" else None,
            "local_close_date": day(closed) if closed else None,
            "expected_close_date": source.maybe(0.5, day(source.now + source.below(90) * DAY)),
            "label_ids": [11, 12, 13][: source.below(4)],
            "origin": source.pick(("ManuallyCreated", "API", "Import")),
            "origin_id": None,
            "channel": source.maybe(0.2, 52),
            "channel_id": source.maybe(0.2, "Jun23 Billboards"),
            "acv": source.maybe(0.2, source.money(90_000)),
            "arr": source.maybe(0.2, source.money(90_000)),
            "mrr": source.maybe(0.2, source.money(9_000)),
            "custom_fields": values.some(source, 14),
            "next_activity_id": None,
            "last_activity_id": None,
            "first_won_time": close if status == "won" else None,
            **dict.fromkeys(DEAL_COUNTERS, 0),
            "last_incoming_mail_time": source.maybe(0.1, z(source.moment(90))),
            "last_outgoing_mail_time": source.maybe(0.1, z(source.moment(90))),
            "smart_bcc_email": f"fernhill+deal{key}@mail.example",
            "source_lead_id": source.maybe(0.02, source.uuid()),
        }
        if place % 500 == 250:
            rows[key]["brand_new_attribute"] = {"since": "this morning", "level": 3}
    return rows


def line_item(
    key: int, deal: Row, product: Row | None, *, moment: float, order: int, source: Inventor
) -> Row:
    """One product on a deal; no product when it was deleted long ago."""
    quantity = source.pick((1, 1, 2, 10, 0.5, 1000))
    price = 1.10 if source.chance(0.05) else source.money(5000)
    percent = source.chance(0.7)
    discount = source.pick((0, 0, 5, 12.5)) if percent else 1.0
    total = quantity * price
    total = total * (1 - discount / 100) if percent else total - discount
    return {
        "id": key,
        "sum": round(total, 2),
        "tax": source.pick((0, 20)),
        "deal_id": deal["id"],
        "name": product["name"] if product else None,
        "product_id": product["id"] if product else None,
        "product_variation_id": source.maybe(0.1, 300 + key) if product else None,
        "order_nr": order,
        "add_time": z(moment),
        "update_time": z(moment),
        "comments": source.sentence() if source.chance(0.2) else "",
        "currency": deal["currency"],
        "discount": discount,
        "discount_type": "percentage" if percent else "amount",
        "quantity": quantity,
        "item_price": price,
        "tax_method": source.pick(("inclusive", "exclusive", "none")),
        "is_enabled": source.chance(0.95),
        "billing_frequency": source.pick(("one-time", "monthly")),
        "billing_frequency_cycles": source.maybe(0.1, 12),
        "billing_start_date": source.maybe(0.3, day(moment)),
    }


def line_items(count: int, deals_: Table, products: Table, source: Inventor) -> Table:
    """Line items over about a third of the deals, many of them on a few deals."""
    rows: Table = {}
    chosen = [row for row in deals_.values() if source.chance(1 / 3)] or list(deals_.values())
    crowded = chosen[:: max(1, len(chosen) // 8)]
    goods = list(products.values())
    for key in range(1, count + 1):
        deal = source.pick(crowded) if key % 4 == 0 else chosen[key % len(chosen)]
        product = source.pick(goods) if goods and source.chance(0.98) else None
        rows[key] = line_item(
            key, deal, product, moment=source.moment(900), order=key % 60, source=source
        )
    return rows


def leads(
    count: int,
    archived: int,
    *,
    users: int,
    persons: Table,
    labels: dict[str, Row],
    values: Values,
    source: Inventor,
) -> dict[str, Row]:
    """Leads: UUIDs, milliseconds, and the deals' custom fields at the root in v1 encodings."""
    rows: dict[str, Row] = {}
    kinds = {row["field_code"]: row["field_type"] for row in values.fields}
    bulk = float(int(source.now - 20 * DAY)) + 0.25
    people = list(persons.values())
    for place in range(count + archived):
        key = source.uuid()
        added = source.moment() + source.below(1000) / 1000
        person = source.pick(people) if people and source.chance(0.7) else None
        row: Row = {
            "id": key,
            "title": source.sentence(),
            "owner_id": 1 + source.below(users),
            "creator_id": 1 + source.below(users),
            "label_ids": source.sample(list(labels), source.below(3)),
            "person_id": person["id"] if person else None,
            "organization_id": None if person else 1,
            "source_name": source.pick(("API", "Manually created", "Web forms")),
            "origin": "API",
            "origin_id": None,
            "channel": source.maybe(0.2, 52),
            "channel_id": None,
            "source_deal_id": source.maybe(0.03, 1 + source.below(100)),
            "is_archived": place >= count,
            "was_seen": source.chance(0.6),
            "value": {"amount": source.money(9999), "currency": "USD"}
            if source.chance(0.6)
            else None,
            "expected_close_date": source.maybe(0.3, day(source.now)),
            "next_activity_id": None,
            "add_time": z_ms(added),
            "update_time": z_ms(min(changed(source, added, bulk, 0.1), source.now)),
            "visible_to": source.pick(("1", "3", "5", "7")),
            "cc_email": f"fernhill+1+lead{key[:8]}@mail.example",
        }
        for code, value in values.some(source, 6).items():
            # Unset fields are omitted from leads.
            if value is not None:
                row |= as_v1(code, kinds[code], value)
        if place % 300 == 10:
            row["brand_new_attribute"] = "hello"
        rows[key] = row
    return rows


def activities(
    count: int, users: int, types: Table, *, deals_: Table, persons: Table, source: Inventor
) -> Table:
    """Activities; the list never carries custom fields."""
    rows: Table = {}
    bulk = float(int(source.now - 7 * DAY))
    keys = [row["key_string"] for row in types.values()]
    links = list(deals_.values())
    for key in range(1, count + 1):
        added = source.moment()
        deal = source.pick(links) if links and source.chance(0.7) else None
        person_id = deal["person_id"] if deal else source.maybe(0.5, 1 + source.below(len(persons)))
        done = source.chance(0.7)
        rows[key] = {
            "id": key,
            "subject": source.sentence(),
            "type": source.pick(keys),
            "owner_id": 1 + source.below(users),
            "creator_user_id": 1 + source.below(users),
            "is_deleted": False,
            "add_time": z(added),
            "update_time": z(changed(source, added, bulk, 0.06)),
            "deal_id": deal["id"] if deal else None,
            "lead_id": source.maybe(0.02, source.uuid()),
            "person_id": person_id,
            "org_id": deal["org_id"] if deal else None,
            "project_id": None,
            "due_date": source.maybe(0.9, day(added + source.below(20) * DAY)),
            "due_time": source.pick(("", "15:00", "08:30:00")),
            "duration": source.pick(("", "00:30", "01:00:00")),
            "busy": source.chance(0.5),
            "done": done,
            "marked_as_done_time": z(source.moment(since=added)) if done else None,
            "location": source.address() if source.chance(0.1) else None,
            "participants": [{"person_id": person_id, "primary": True}] if person_id else [],
            "attendees": [
                {
                    "email": f"guest{key}@people.example",
                    "name": source.pick(("Guest", "")),
                    "status": source.pick(("accepted", "noreply")),
                    "is_organizer": source.chance(0.2),
                    "person_id": person_id,
                    "user_id": None,
                }
            ]
            if source.chance(0.1)
            else None,
            "conference_meeting_client": source.maybe(0.05, "google_meet"),
            "conference_meeting_url": None,
            "conference_meeting_id": None,
            "public_description": source.maybe(0.1, source.sentence()),
            "priority": source.maybe(0.2, 263),
            "outcome": None,
            "note": f"<p>{source.sentence()}</p>" if source.chance(0.3) else None,
        }
        if key % 900 == 0:
            rows[key]["brand_new_attribute"] = None
    return rows


def notes(count: int, users: Table, deals_: Table, orgs: Table, source: Inventor) -> Table:
    """Notes with HTML; some have a zero date for a time."""
    rows: Table = {}
    bulk = float(int(source.now - 9 * DAY))
    links = list(deals_.values())
    for key in range(1, count + 1):
        added = source.moment()
        user = users[1 + source.below(len(users))]
        deal = source.pick(links) if links and source.chance(0.6) else None
        org_id = deal["org_id"] if deal else 1 + source.below(len(orgs))
        updated = sql(changed(source, added, bulk, 0.2))
        rows[key] = {
            "id": key,
            "active_flag": True,
            "add_time": sql(added),
            "content": LONG if key % 601 == 0 else f"<b>{source.sentence()}</b><br>\n",
            "deal": {"title": deal["title"]} if deal else None,
            "lead_id": source.maybe(0.02, source.uuid()),
            "deal_id": deal["id"] if deal else None,
            "last_update_user_id": source.maybe(0.5, user["id"]),
            "org_id": org_id,
            "organization": {"name": orgs[org_id]["name"]} if org_id else None,
            "person": None,
            "person_id": deal["person_id"] if deal else None,
            "project_id": None,
            "project": None,
            "task_id": None,
            "task": None,
            "pinned_to_lead_flag": False,
            "pinned_to_deal_flag": source.chance(0.1),
            "pinned_to_organization_flag": False,
            "pinned_to_person_flag": False,
            "pinned_to_project_flag": False,
            "pinned_to_task_flag": False,
            "update_time": NEVER if key % 500 == 0 else updated,
            "user": {
                "email": user["email"],
                "icon_url": user["icon_url"],
                "is_you": user["is_you"],
                "name": user["name"],
            },
            "user_id": user["id"],
        }
    return rows


def files(count: int, users: int, deals_: Table, source: Inventor) -> Table:
    """Files; the flags mix booleans with 0 and 1, some have no update time."""
    rows: Table = {}
    bulk = float(int(source.now - 15 * DAY))
    links = list(deals_.values())
    for key in range(1, count + 1):
        added = source.moment()
        deal = source.pick(links) if links and source.chance(0.7) else None
        name = source.pick(("offer.pdf", "фото.jpg", 'quote "final".docx', "data.csv"))
        updated = None if key % 150 == 0 else sql(changed(source, added, bulk, 0.15))
        rows[key] = {
            "id": key,
            "user_id": 1 + source.below(users),
            "deal_id": deal["id"] if deal else None,
            "person_id": deal["person_id"] if deal else None,
            "org_id": deal["org_id"] if deal else None,
            "product_id": None,
            "activity_id": source.maybe(0.1, 1 + source.below(500)),
            "lead_id": None,
            "project_id": None,
            "log_id": None,
            "add_time": sql(added),
            "update_time": NEVER if key % 400 == 0 else updated,
            "file_name": f"{key}_{name}",
            "file_type": name.rsplit(".", 1)[1],
            "file_size": source.pick((0, 7801780, 5_368_709_120)),
            "active_flag": 1 if key % 5 == 0 else True,
            "inline_flag": 0 if key % 5 == 0 else False,
            "remote_location": source.pick(("s3", "googledocs")),
            "remote_id": f"r{key}",
            "cid": "",
            "s3_bucket": "",
            "mail_message_id": "",
            "mail_template_id": "",
            "deal_name": deal["title"] if deal else None,
            "person_name": None,
            "lead_name": None,
            "org_name": None,
            "product_name": None,
            "project_name": None,
            "url": f"https://fernhill.example/v1/files/{key}/download",
            "name": name,
            "description": source.maybe(0.1, source.sentence()),
        }
    return rows
