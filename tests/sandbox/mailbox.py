"""The token user's mailbox and call logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sandbox.vocabulary import Inventor, epoch_ms, z_ms

if TYPE_CHECKING:
    from tests.sandbox.fields import Row

FOLDERS = ("inbox", "drafts", "sent", "archive")
# A thread with an answer is in two folders at one time.
PLACES = (("inbox",), ("inbox",), ("inbox", "sent"), ("sent",), ("archive", "sent"), ("drafts",))
ACCOUNT = "fernhillmail0001"
OUTCOMES = ("connected", "no_answer", "left_message", "left_voicemail", "wrong_number", "busy")


def _party(number: int, person: Row, moment: float, source: Inventor) -> Row:
    mails = person["emails"]
    return {
        "id": number,
        "name": source.pick(("", person["name"])),
        "latest_sent": source.chance(0.5),
        "email_address": mails[0]["value"] if mails else f"someone{number}@people.example",
        "message_time": epoch_ms(moment),
        "linked_person_id": person["id"],
        "linked_person_name": person["name"],
        "mail_message_party_id": 5000 + number,
        "linked_organization_id": person["org_id"],
    }


def _flags(source: Inventor, *names: str) -> Row:
    """Flags of mails are 0 and 1."""
    return {f"{name}_flag": int(source.chance(0.3)) for name in names}


def threads(
    count: int, deals_: dict[int, Row], persons: dict[int, Row], source: Inventor
) -> dict[int, Row]:
    """Mail threads; `folders` names every folder that a thread is in."""
    rows: dict[int, Row] = {}
    people, links = list(persons.values()), list(deals_.values())
    for key in range(1, count + 1):
        first = source.moment(500)
        last = source.moment(since=first)
        folders = source.pick(PLACES)
        deal = source.pick(links) if source.chance(0.3) else None
        rows[key] = {
            "id": key,
            "account_id": ACCOUNT,
            "user_id": 1,
            "subject": source.sentence(),
            "snippet": source.sentence(),
            "mail_tracking_status": source.maybe(0.2, "opened"),
            "parties": {
                "to": [_party(2 * key, source.pick(people), last, source)],
                "from": [_party(2 * key + 1, source.pick(people), last, source)],
            },
            "drafts_parties": [],
            "folders": list(folders),
            "version": 1 + source.below(20),
            "snippet_draft": source.maybe(0.1, source.sentence()),
            "snippet_sent": source.pick(("", "Thanks")),
            "message_count": 1 + source.below(5),
            **_flags(source, "read", "has_attachments", "has_inline_attachments"),
            **_flags(source, "has_real_attachments", "deleted", "synced", "smart_bcc"),
            **_flags(source, "mail_link_tracking_enabled", "shared", "external_deleted"),
            **_flags(source, "first_message_to_me", "all_messages_sent"),
            **folder_flags(list(folders)),
            "last_message_timestamp": z_ms(last),
            "first_message_timestamp": z_ms(first),
            "last_message_sent_timestamp": z_ms(last) if "sent" in folders else None,
            "last_message_received_timestamp": z_ms(last),
            "add_time": z_ms(first + 13),
            # Not in the order of the last message: threads also change when they are read or moved.
            "update_time": z_ms(source.moment(since=last)),
            "deal_id": deal["id"] if deal else None,
            "deal_status": deal["status"] if deal else None,
            "lead_id": source.maybe(0.05, source.uuid()),
        }
    return rows


def folder_flags(folders: list[str]) -> Row:
    """The flags of a thread that follow from where it is."""
    return {
        "has_draft_flag": int("drafts" in folders),
        "has_sent_flag": int("sent" in folders),
        "archived_flag": int("archive" in folders),
    }


def messages(threads_: dict[int, Row], persons: dict[int, Row], source: Inventor) -> dict[int, Row]:
    """The messages of every thread."""
    rows: dict[int, Row] = {}
    people = list(persons.values())
    for thread in threads_.values():
        for place in range(thread["message_count"]):
            key = len(rows) + 1
            moment = source.moment(500)
            parties: dict[str, Any] = {
                side: [_party(10 * key, source.pick(people), moment, source)][:most]
                for side, most in (
                    ("from", 1),
                    ("to", 1),
                    ("cc", key % 3 == 0),
                    ("bcc", key % 7 == 0),
                )
            }
            rows[key] = {
                "id": key,
                **parties,
                "body_url": f"https://mail.example/body/{key}",
                "account_id": ACCOUNT,
                "user_id": 1,
                "mail_thread_id": thread["id"],
                "subject": thread["subject"] if place == 0 else f"Re: {thread['subject']}",
                "snippet": source.sentence(),
                "mail_tracking_status": source.maybe(0.2, "opened"),
                "draft": source.maybe(0.05, "<p>Not yet</p>"),
                **_flags(source, "mail_link_tracking_enabled", "read", "draft", "synced"),
                **_flags(source, "deleted", "has_body", "sent", "sent_from_pipedrive"),
                **_flags(source, "smart_bcc", "has_attachments", "has_inline_attachments"),
                **_flags(source, "has_real_attachments"),
                "message_time": z_ms(moment),
                "add_time": z_ms(moment + 5),
                "update_time": z_ms(moment + 65),
            }
    return rows


def call_logs(count: int, activities: dict[int, Row], source: Inventor) -> dict[str, Row]:
    """Calls of the token user; some lack the attributes of what they are not linked to."""
    rows: dict[str, Row] = {}
    links = list(activities.values())
    for number in range(count):
        start = source.moment(900)
        seconds = source.below(1800)
        activity = source.pick(links) if source.chance(0.7) else None
        key = f"CA{source.getrandbits(104):026x}"
        rows[key] = {
            "id": key,
            "activity_id": activity["id"] if activity else None,
            "person_id": activity["person_id"] if activity else None,
            "org_id": activity["org_id"] if activity else None,
            "deal_id": activity["deal_id"] if activity else None,
            "lead_id": source.maybe(0.05, source.uuid()),
            "subject": source.sentence(),
            "duration": str(seconds),
            "outcome": source.pick(OUTCOMES),
            "from_phone_number": "+372 7777 4841",
            "to_phone_number": f"+372 5{source.below(10**6):06d}",
            "has_recording": source.chance(0.2),
            "start_time": z_ms(start),
            "end_time": z_ms(start + seconds),
            "user_id": 1,
            "company_id": 54235233,
            "note": source.maybe(0.5, source.sentence()),
        }
        if number % 10 == 9:
            for name in ("org_id", "deal_id", "lead_id", "subject", "from_phone_number"):
                del rows[key][name]
    return rows
