"""What happened in the product: every activity, guide interaction and poll answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tests.sandbox.people import BROWSERS, SERVERS
from tests.sandbox.usage import APPS
from tests.sandbox.vocabulary import CITIES, UGLY, Inventor, epoch_ms
from tests.sandbox.zones import HOUR_MS

if TYPE_CHECKING:
    from tests.sandbox.fields import Row
    from tests.sandbox.people import People
    from tests.sandbox.zones import Calendar

# Moment in ms, number of the activity, place of its session and of its target (-1: untagged).
Activity = tuple[int, int, int, int]
UNTAGGED = -1
GROUPED = ("events", "pageEvents", "featureEvents", "trackEvents")
SINGLE = ("guideEvents", "pollEvents")
ID_FIELDS = {"pageEvents": "pageId", "featureEvents": "featureId", "trackEvents": "trackTypeId"}
# Pages and features that were deleted since; their events stay.
DELETED = 2
DAY_MS = 86_400_000


def members(row: Row) -> bytes:
    """The members of a JSON object, without its braces."""
    return msgspec.json.encode(row)[1:-1]


@dataclass(frozen=True)
class Session:
    """Dimensions that all activities of a visit share.

    Attributes:
        visitor: Visitor id.
        account: Account id, empty for an anonymous visitor.
        app: Application.
        browser: Place in `BROWSERS`.
        row: The dimensions as a row.
        body: The same, encoded without braces.
        properties: Encoded members of `properties` that come from the session.
        recorded: Whether a recording runs.
    """

    visitor: str
    account: str
    app: int
    browser: int
    row: Row
    body: bytes
    properties: bytes
    recorded: bool

    @property
    def mobile(self) -> bool:
        """Whether it is a visit of the mobile application."""
        return bool(APPS[self.app]["platform"] != "web")


@dataclass(frozen=True)
class Target:
    """A tagged object with one set of the dimensions that it adds to a row."""

    source: str
    object_id: str
    app: int
    body: bytes
    properties: bytes


class EventLog:
    """Everything that happened, by hour.

    Attributes:
        activities: Source -> hour since 1970 -> activities; `events` has all of them.
        singles: The same for guide and poll rows: (moment, application, guide, poll, row as JSON).
    """

    def __init__(
        self,
        tables: dict[str, dict[Any, Row]],
        people: People,
        calendar: Calendar,
        source: Inventor,
    ) -> None:
        """Start without activities.

        Args:
            tables: Where pages, features, track types and guides are.
            people: Who acts.
            calendar: Where days start.
            source: Where chance comes from.
        """
        self.activities: dict[str, dict[int, list[Activity]]] = {name: {} for name in GROUPED}
        self.singles: dict[str, dict[int, list[tuple[int, int, str, str, bytes]]]] = {
            name: {} for name in SINGLE
        }
        self.sessions: list[Session] = []
        self.targets: list[Target] = []
        self._known: dict[tuple[bytes, bytes], int] = {}
        self._count = 0
        self._people = people
        self._visitors = list(people.visitors)
        self._homes: dict[str, list[Row]] = {}
        self._by_app: dict[int, list[int]] = {app: [] for app in APPS}
        self._guides: dict[int, list[Row]] = {app: [] for app in APPS}
        self._calendar = calendar
        self._tag(tables, source)
        self.touched: set[int] = set()

    # Objects

    def _tag(self, tables: dict[str, dict[Any, Row]], source: Inventor) -> None:
        for table, kind in (
            ("pages", "pageEvents"),
            ("features", "featureEvents"),
            ("track_types", "trackEvents"),
        ):
            objects = [(key, row["appId"]) for key, row in tables[table].items()]
            objects += [(f"deleted-{kind}-{n}", list(APPS)[n]) for n in range(DELETED)]
            for key, app in objects:
                for variant in range(1 + source.below(4)):
                    row: Row = {ID_FIELDS[kind]: key}
                    properties: Row = {}
                    if kind == "pageEvents" and variant:
                        row["parameters"] = {"id": str(variant), "tab": source.pick(UGLY)}
                    elif kind == "featureEvents" and variant:
                        properties = {"plan": source.pick(("free", "pro", None)), "n": variant}
                    elif kind == "trackEvents":
                        properties = {
                            "amount": source.pick((source.money(900), source.below(9), "12.50")),
                            "currency": source.pick(("EUR", "USD", None)),
                            "note": source.pick(UGLY),
                            "items": [{"sku": variant}],
                        }
                    self._by_app[app].append(len(self.targets))
                    self.targets.append(Target(kind, key, app, members(row), members(properties)))
        for indexes in self._by_app.values():
            source.shuffle(indexes)
        for guide in tables["guides"].values():
            self._guides[guide["appId"]].append(guide)

    # Sessions

    def _devices(self, visitor: str, source: Inventor) -> list[Row]:
        """Where a visitor works from: the same places on every visit."""
        found = self._homes.get(visitor)
        if found is None:
            city = source.pick(CITIES)
            found = self._homes[visitor] = [
                {
                    "remoteIp": f"203.0.{source.below(256)}.{source.below(256)}",
                    "browser": source.below(3),
                    "country": city[2],
                    "region": city[1],
                    "latitude": round(source.random() * 60, 4),
                    "longitude": -source.below(90),
                }
                for _ in range(1 + source.below(2))
            ]
        return found

    def session(self, source: Inventor, visitor: str | None = None) -> int:
        """Start a visit; returns its place. Visits with the same dimensions are one."""
        if visitor is None:
            visitor = self._visitors[int(source.random() ** 2 * len(self._visitors))]
        app: int = source.pick(self._people.visitor_apps[visitor])
        accounts = self._people.members[visitor]
        account: str = source.pick(accounts) if accounts else ""
        device = source.pick(self._devices(visitor, source))
        mobile = APPS[app]["platform"] != "web"
        browser = 3 if mobile else device["browser"]
        row: Row = {
            "visitorId": visitor,
            "accountId": account,
            "appId": app,
            "server": APPS[app]["name"] if mobile else source.pick(SERVERS),
            "userAgent": BROWSERS[browser][3],
        }
        if not mobile:
            row |= _web(device, source)
        recorded = "recordingId" in row
        properties: Row = {}
        if account and source.chance(0.7):
            agent = self._people.accounts[account]["metadata"]["agent"]
            properties["__sg__"] = {"accountmetadata": {"agent_plan": agent["plan"]}}
        if source.chance(0.1):
            properties["__utm__"] = {"utm_source": source.pick(("mail", "ad")), "utm_term": "é\\"}
        key = members(row), members(properties)
        place = self._known.get(key)
        if place is None:
            place = self._known[key] = len(self.sessions)
            self.sessions.append(
                Session(visitor, account, app, browser, row, *key, recorded=recorded)
            )
        return place

    # Happenings

    def add(self, moment: int, session: int, target: int) -> None:
        """Note one activity."""
        self._count += 1
        activity = moment, self._count, session, target
        hour = moment // HOUR_MS
        self.activities["events"].setdefault(hour, []).append(activity)
        if target != UNTAGGED:
            kind = self.targets[target].source
            self.activities[kind].setdefault(hour, []).append(activity)
        self.touched.add(hour)

    def visit(
        self, moment: int, end: int, source: Inventor, visitor: str | None = None, most: int = 10**9
    ) -> int:
        """A visit that starts at a moment and stays before the end; returns its activities."""
        session = self.session(source, visitor)
        app = self.sessions[session].app
        indexes = self._by_app[app]
        favourites = [source.pick(indexes) for _ in range(3)] if indexes else []
        done = 0
        for _ in range(min(most, 1 + source.below(22))):
            if moment >= end:
                break
            chance = source.random()
            if chance < 0.2 or not indexes:
                target = UNTAGGED
            elif chance < 0.7:
                target = source.pick(favourites)
            else:
                target = indexes[int(source.random() ** 2 * len(indexes))]
            self.add(moment, session, target)
            done += 1
            moment += 1 + int(source.random() ** 3 * 600_000)
        if source.chance(0.3) and moment < end:
            self.guide(moment, end, session, source)
        return done

    def guide(self, moment: int, end: int, session: int, source: Inventor, lag: int = 0) -> None:
        """Show a guide: one row for each step seen and each thing done, and answers to polls."""
        guides = self._guides[self.sessions[session].app]
        if not guides:
            return
        guide = source.pick(guides)
        for step in guide["steps"]:
            kinds = ["guideSeen", source.pick(("guideAdvanced", "guideDismissed", "guideActivity"))]
            if source.chance(0.05):
                kinds.append(source.pick(("guideSnoozed", "guideTimeout")))
            extras: list[tuple[str, Row]] = [("guideEvents", _done(kind, source)) for kind in kinds]
            extras += [
                ("pollEvents", _response(poll, source))
                for poll in guide["polls"]
                if poll["id"] in step["pollIds"] and source.chance(0.6)
            ]
            for kind, extra in extras:
                moment += 1 + source.below(20_000)
                if moment >= end:
                    return
                base = self._single(moment, session, guide, source)
                base["receivedTime"] += lag
                self._keep(kind, base | {"guideStepId": step["id"]} | extra)
            if "guideDismissed" in kinds:
                return

    def _single(self, moment: int, session: int, guide: Row, source: Inventor) -> Row:
        visit = self.sessions[session]
        row = dict(visit.row)
        row["serverName"] = row.pop("server")
        for name in ("recordingId", "recordingSessionId", "signatureAgent"):
            row.pop(name, None)
        return row | {
            "accountIds": self._people.members[visit.visitor],
            "guideId": guide["id"],
            "guideTimestamp": moment - source.below(500),
            "guideSeenReason": source.pick(("auto", "launcher", "badge", "dom", "continue")),
            "browserTime": moment,
            "receivedTime": moment + source.below(3000),
            "loadTime": source.below(4000),
            "url": f"https://{row['serverName']}/?q={source.below(9)}",
            "title": source.pick(UGLY),
            "language": source.pick(("en-US", "et", "")),
            "elementPath": "",
            "eventId": "",
            "oldVisitorId": source.pick(("", visit.visitor)),
            "properties": {"step": source.below(3)} if source.chance(0.3) else {},
        }

    def _keep(self, kind: str, row: Row) -> None:
        moment: int = row["browserTime"]
        entry = (
            moment,
            row["appId"],
            row["guideId"],
            row.get("pollId", ""),
            msgspec.json.encode(row),
        )
        self.singles[kind].setdefault(moment // HOUR_MS, []).append(entry)
        self.touched.add(moment // HOUR_MS)

    # Stretches of time

    def fill(self, start: int, end: int, count: int, source: Inventor) -> None:
        """Let about this many activities happen from a moment to another, all day and night."""
        done = 0
        while done < count:
            done += self.visit(start + int(source.random() * (end - start)), end, source)
        for day in self._calendar.buckets("day", start, end):
            # The instants at which counting goes wrong.
            session = self.session(source)
            indexes = self._by_app[self.sessions[session].app]
            for moment in (day - 1, day, day + HOUR_MS - 1, day + HOUR_MS):
                if start <= moment < end:
                    self.add(moment, session, source.pick(indexes) if indexes else UNTAGGED)

    def repeat(self, start: int, end: int, count: int, source: Inventor) -> None:
        """Let things that happened in a stretch of time happen again minutes later.

        That changes the measures of rows which exist.
        """
        hours = range(start // HOUR_MS, -(-end // HOUR_MS))
        pool = [each for hour in hours for each in self.activities["events"].get(hour, ())]
        for _ in range(count if pool else 0):
            moment, _, session, target = source.pick(pool)
            later = min(moment + source.below(300_000), moment - moment % HOUR_MS + HOUR_MS - 1)
            self.add(min(later, end - 1), session, target)


def _web(device: Row, source: Inventor) -> Row:
    """Dimensions that only a visit of a web application has."""
    row = {name: value for name, value in device.items() if name != "browser"}
    if source.chance(0.1):
        # Logging of addresses was off, and nothing is known of the place.
        for name in ("remoteIp", "latitude", "longitude", "region"):
            del row[name]
        row["country"] = ""
    if source.chance(0.8):
        row["tabId"] = f"{source.getrandbits(64):016x}"
        row["analyticsSessionId"] = f"{source.getrandbits(64):016x}"
    if source.chance(0.3):
        row["recordingId"] = f"rec{source.getrandbits(48)}"
        row["recordingSessionId"] = f"ses{source.getrandbits(48)}"
    if source.chance(0.02):
        row["signatureAgent"] = '"https://agent.example"'
    return row


def _done(kind: str, source: Inventor) -> Row:
    """What a guide's row says of the thing done."""
    if kind != "guideActivity":
        return {"type": kind}
    return {
        "type": kind,
        "uiElementId": "pendo-button-1",
        "uiElementType": "BUTTON",
        "uiElementText": source.pick(UGLY),
        "uiElementActions": '[{"action":"dismissGuide"}]',
    }


def _response(poll: Row, source: Inventor) -> Row:
    """What a poll's row says of the answer: a number, a text or the id of an option."""
    kind = poll["attributes"]["type"]
    if kind == "NPSRating":
        response: Any = source.below(11)
    elif kind == "FreeForm":
        response = source.pick((*UGLY, "Fine.", "7"))
    else:
        response = source.pick(list(poll["idResponses"]))
    return {
        "type": "ui:web:pollResponse",
        "pollId": poll["id"],
        "pollType": kind,
        "pollResponse": response,
    }


def window(now: float, days: float) -> tuple[int, int]:
    """The stretch of this many days up to now, in milliseconds."""
    end = epoch_ms(now)
    return end - int(days * DAY_MS), end
