"""Projects of the invented company, their boards, phases, templates and tasks."""

from __future__ import annotations

from tests.sandbox.fields import Row, Values
from tests.sandbox.vocabulary import WORDS, Inventor, day, z_ms

Table = dict[int, Row]
PHASES = ("Kickoff", "Planning", "Work", "Review", "Done")
STATUSES = ("open", "open", "completed", "canceled")


def boards(count: int, source: Inventor) -> Table:
    """Project boards."""
    rows: Table = {}
    for number in range(1, count + 1):
        added = source.moment()
        rows[number] = {"id": number, "name": f"Board {WORDS[number]}", "order_nr": number}
        rows[number] |= {"add_time": z_ms(added), "update_time": z_ms(source.moment(since=added))}
    return rows


def phases(boards_: Table, source: Inventor) -> Table:
    """Phases: five on each board."""
    rows: Table = {}
    for board in boards_:
        for place, name in enumerate(PHASES, 1):
            added = source.moment()
            key = len(rows) + 1
            rows[key] = {"id": key, "name": name, "board_id": board, "order_nr": place}
            rows[key] |= {"add_time": z_ms(added), "update_time": z_ms(source.moment(since=added))}
    return rows


def templates(count: int, users: int, boards_: Table, source: Inventor) -> Table:
    """Project templates."""
    rows: Table = {}
    for number in range(1, count + 1):
        added = source.moment()
        rows[number] = {
            "id": number,
            "title": source.sentence(),
            "description": source.maybe(0.6, source.sentence()),
            "projects_board_id": source.pick(list(boards_)),
            "owner_id": 1 + source.below(users),
            "add_time": z_ms(added),
            "update_time": z_ms(source.moment(since=added)),
        }
    return rows


def projects(
    count: int, users: int, deals_: Table, phases_: Table, *, values: Values, source: Inventor
) -> Table:
    """Projects: one in eight is archived, one in fifteen was deleted in the last 30 days."""
    rows: Table = {}
    links = list(deals_.values())
    steps = list(phases_.values())
    for key in range(1, count + 1):
        added = source.moment(900)
        phase = source.pick(steps)
        deal = source.pick(links) if source.chance(0.6) else None
        deleted = key % 15 == 7
        updated = source.moment(29) if deleted else source.moment(since=added)
        rows[key] = {
            "id": key,
            "title": source.sentence(),
            "description": source.maybe(0.5, source.sentence()),
            "status": "deleted" if deleted else source.pick(STATUSES),
            "board_id": phase["board_id"],
            "phase_id": phase["id"],
            "owner_id": 1 + source.below(users),
            "start_date": source.maybe(0.7, day(added)),
            "end_date": source.maybe(0.4, day(added + 86400 * source.below(200))),
            "deal_ids": [deal["id"]] if deal else [],
            "person_ids": [deal["person_id"]] if deal and deal["person_id"] else [],
            "org_ids": [deal["org_id"]] if deal and deal["org_id"] else [],
            "label_ids": [1, 2, 3][: source.below(4)],
            "health_status": source.maybe(0.3, 10 * source.below(4)),
            "add_time": z_ms(added + source.below(1000) / 1000),
            "update_time": z_ms(updated + source.below(1000) / 1000),
            "status_change_time": source.maybe(0.5, z_ms(source.moment(since=added))),
            "archive_time": z_ms(source.moment(since=added)) if key % 8 == 3 else None,
            "custom_fields": values.some(source, 5),
        }
    return rows


def tasks(count: int, users: int, projects_: Table, source: Inventor) -> Table:
    """Tasks of projects; some are parts of others."""
    rows: Table = {}
    owners = list(projects_)
    for key in range(1, count + 1):
        added = source.moment(900)
        parent = rows[1 + source.below(len(rows))] if rows and source.chance(0.2) else None
        done = source.chance(0.5)
        rows[key] = {
            "id": key,
            "title": source.sentence(),
            "creator_id": 1 + source.below(users),
            "description": source.maybe(0.4, source.sentence()),
            "project_id": parent["project_id"] if parent else source.pick(owners),
            "is_done": done,
            "is_milestone": source.chance(0.1),
            "due_date": source.maybe(0.6, day(added + 86400 * source.below(60))),
            "start_date": source.maybe(0.3, day(added)),
            "parent_task_id": parent["id"] if parent else None,
            "assignee_ids": sorted(source.sample(range(1, users + 1), source.below(4))),
            "priority": source.maybe(0.2, 1 + source.below(3)),
            "add_time": z_ms(added + source.below(1000) / 1000),
            "update_time": z_ms(source.moment(since=added)),
            "marked_as_done_time": z_ms(source.moment(since=added)) if done else None,
        }
    return rows
