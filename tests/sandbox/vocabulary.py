"""Words, names, texts and moments from which the invented company is made."""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


FIRST = words(
    "Ana Bo Chidi Dagny Elif Farid Greta Hana Igor Jūlija Kofi Léa Mateo Nadia Øyvind Priya Quinn "
    "Rasa Sven Tõnu Ula Vera Wen Ximena Yusuf Zoë 美咲 Владимир"
)
LAST = words(
    "Ahlgren Brandt Castellanos D'Angelo Eriksson Fontaine Grünwald Haddad Ivanova Jansons Kask "
    "Lindqvist Moreau Nakamura O'Neill Petrov Quispe Rossi Saar Tamm Ueda Võsu Weiss Xu Yildiz Zhou"
)
ADJECTIVES = words(
    "Amber Boreal Cobalt Dapper Eastern Fabled Golden Hollow Iron Jade Kindred Lunar Mellow "
    "Northern Opal Polar Quiet Rapid Silver Tidal Upper Verdant Western Young Zephyr"
)
NOUNS = words(
    "Anchor Bakery Canopy Dynamics Engines Foundry Garden Harbour Instruments Joinery Kiln "
    "Logistics Mills Networks Optics Paper Quarry Robotics Solar Textiles Union "
    "Vineyards Works Yachts Zinc"
)
FORMS = ("GmbH", "OÜ", "AB", "Ltd", "S.A.", "Inc", "& Sons", "Kft", "株式会社")
CITIES = (
    ("Tallinn", "Harju maakond", "Estonia", "10615"),
    ("Lisbon", "Lisboa", "Portugal", "1100-053"),
    ("Gdańsk", "Pomorskie", "Poland", "80-001"),
    ("São Paulo", "SP", "Brazil", "01310-100"),
    ("Austin", "TX", "United States", "78701"),
    ("Malmö", "Skåne län", "Sweden", "211 22"),
)
WORDS = words(
    "agenda budget call delivery estimate follow-up goal handover invoice journey kickoff legal "
    "milestone notes offer pilot quote renewal survey training upgrade vendor workshop"
)
# Texts that have broken someone's pipeline before.
UGLY = (
    "She said \"yes\" \\ then 'no'",
    "line one\nline two\r\nline three\tand a tab",
    "🚀 launch 👩‍👩‍👧‍👦 café naïve",
    "عرض سعر — שלום — 見積書",
    "null",
    "; DROP TABLE deals; --",
    "  leading and trailing  ",
    "<p>50 % &amp; more</p>",
    "a,b;c|d",
    "\u2028separator\u00a0nbsp",
    "{}",
    "",
)
LONG = "A very long remark about the project. " * 1600


def z(moment: float) -> str:
    """RFC 3339 with whole seconds, as most v2 endpoints write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def z_ms(moment: float) -> str:
    """RFC 3339 with milliseconds, as leads and a few others write it."""
    millis = round(moment * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(millis // 1000))}.{millis % 1000:03d}Z"


def sql(moment: float) -> str:
    """The v1 style: UTC without a zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))


def epoch_ms(moment: float) -> int:
    """Milliseconds since 1970, as Pendo writes moments."""
    return round(moment * 1000)


def day(moment: float) -> str:
    """A date."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


class Inventor(random.Random):
    """A seeded source of invented things.

    Every table takes an inventor of its own, so that a change in how one table is made leaves the
    other tables as they were.
    """

    def __new__(cls, *_args: Any) -> Self:
        """`random.Random` must not see the extra arguments."""
        return super().__new__(cls)

    def __init__(self, seed: int, topic: str, now: float) -> None:
        """Seed the source by number and topic; `now` bounds its moments."""
        super().__init__(f"{seed}:{topic}")
        self.now = now

    def chance(self, share: float) -> bool:
        """True in this share of the calls."""
        return self.random() < share

    def below(self, bound: int) -> int:
        """A whole number from 0 up to, not including, the bound."""
        return int(self.random() * bound)

    def pick(self, options: Any) -> Any:
        """One of the options."""
        return options[int(self.random() * len(options))]

    def maybe(self, share: float, value: Any) -> Any:
        """The value in this share of the calls, else None."""
        return value if self.random() < share else None

    def money(self, top: int) -> float:
        """An amount with cents."""
        return round(self.random() * top, 2)

    def moment(self, days: float = 2400.0, since: float | None = None) -> float:
        """A whole second within the last days, or between `since` and now."""
        start = self.now - days * 86400 if since is None else since
        return float(int(start + self.random() * (self.now - start)))

    def uuid(self) -> str:
        """A version 4 UUID."""
        return str(uuid.UUID(int=self.getrandbits(128), version=4))

    def sentence(self) -> str:
        """A short text, in one of fifty cases an ugly one."""
        if self.random() < 0.02:
            return str(self.pick(UGLY))
        return f"{self.pick(WORDS).capitalize()} {self.pick(WORDS)} {self.pick(WORDS)}"

    def person(self) -> tuple[str, str]:
        """First and last name."""
        return self.pick(FIRST), self.pick(LAST)

    def address(self) -> dict[str, Any]:
        """An address in parts, in the shape of the v2 API."""
        city, area, country, code = self.pick(CITIES)
        number, route = str(1 + self.below(120)), f"{self.pick(ADJECTIVES)} {self.pick(NOUNS)} St"
        return {
            "value": f"{number} {route}, {code} {city}, {country}",
            "country": country,
            "admin_area_level_1": area,
            "admin_area_level_2": self.maybe(0.3, "District " + str(self.below(9))),
            "locality": city,
            "sublocality": None,
            "route": route,
            "street_number": number,
            "subpremise": self.maybe(0.2, f"Apt {self.below(40)}"),
            "postal_code": code,
        }


def organization_name(number: int) -> tuple[str, str]:
    """Name and unique web domain of the organization with this number, from 0."""
    adjective = ADJECTIVES[number % len(ADJECTIVES)]
    noun = NOUNS[number // len(ADJECTIVES) % len(NOUNS)]
    batch = number // (len(ADJECTIVES) * len(NOUNS))
    tail = f" {batch + 1}" if batch else ""
    domain = f"{adjective}-{noun}{batch + 1 if batch else ''}.example".lower()
    return f"{adjective} {noun}{tail} {FORMS[number % len(FORMS)]}", domain
