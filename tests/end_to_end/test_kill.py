"""A tap that is killed with SIGKILL at any point loses nothing: the next run continues."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.expected import COSTLY, STREAMS, Rows, differences, expect_all
from tests.harness import Tables, discover, parse, run_tap, select
from tests.sandbox.changes import change
from tests.sandbox.company import TABLES, Company
from tests.sandbox.pendo import PendoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.end_to_end.programs import Workbench

#: The tap with short pages and frequent states, so that a small company gives many places to
#: continue from. It starts up once and becomes a process of its own for each line that it reads:
#: the command line, and where the output and the log go. It answers with the process's number, and
#: with how it ended.
PROGRAM = """
import json
import os
import sys
from singer_sdk import Stream
from tap_pendo_pipedrive.streams.pipedrive import activities, pages, stream, windows
from tap_pendo_pipedrive.tap import TapPendoPipedrive

for module in (pages, windows):
    assert module.LARGEST_PAGE
    module.LARGEST_PAGE = 20
for kind in (stream.OffsetStream, activities.Files):
    assert kind.page_size
    kind.page_size = 20
Stream.STATE_MSG_FREQUENCY = 5
for line in sys.stdin:
    arguments, output, log = json.loads(line)
    process = os.fork()
    if process == 0:
        break
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
else:
    sys.exit()
for stream, path, flags in (
    (0, os.devnull, os.O_RDONLY),
    (1, output, os.O_WRONLY),
    (2, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
):
    os.dup2(os.open(path, flags), stream)
TapPendoPipedrive.cli(arguments)
"""
#: Changes nothing, but sends every record through the SDK, one by one.
MAPS = {stream: {"__filter__": "True"} for stream in STREAMS if stream not in COSTLY}
LINE_ITEMS = {"pipedrive_deal_products", "pipedrive_deal_installments"}
PAGED = [
    f"pipedrive_{name}"
    for name in ("activities", "deals", "files", "leads", "notes", "organizations", "persons")
]
ROUNDS = 6
SEQUENCES = KILLS = 5


@pytest.fixture
def company() -> Company:
    """A company with several batches of deals, most of whose rows share their second with others.

    So nearly every state lies between two rows of one and the same time.
    """
    company = Company(scale=0.05)
    company.tick_per_edit = 0.25
    for table, info in TABLES.items():
        name = info.updated or ""
        rows = [row for row in company.tables[table].values() if row.get(name)]
        rows.sort(key=lambda row, name=name: row[name])  # type: ignore[misc]
        for place, row in enumerate(rows):
            row[name] = rows[place - place % (len(rows) // 4 + 1)][name]
        company.touch(table)
    return company


class Tap:
    """Starts the tap as a process, without the time that Python takes to import it."""

    def __init__(self) -> None:
        self._program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def start(self, arguments: list[str], output: Path, log: Path) -> int:
        """Start the tap; returns its process id."""
        assert self._program.stdin is not None
        line = json.dumps([arguments, str(output), str(log)])
        self._program.stdin.write(line.encode() + b"\n")
        self._program.stdin.flush()
        return self._answer()

    def wait(self) -> int:
        """Wait for its end; returns its exit code, negative for a signal."""
        return self._answer()

    def _answer(self) -> int:
        assert self._program.stdout is not None
        return int(self._program.stdout.readline())

    def close(self) -> None:
        """End the program that starts it."""
        self._program.communicate()


@pytest.fixture(scope="module")
def tap() -> Iterator[Tap]:
    """The tap, imported once for all tests."""
    program = Tap()
    yield program
    program.close()


class Survivor:
    """Runs the tap again and again, as an orchestrator does that only sees its output."""

    def __init__(self, tap: Tap, workbench: Workbench, config: dict[str, Any]) -> None:
        self.tap = tap
        self.workbench = workbench
        self.config = config
        self.streams: Iterable[str] = set(STREAMS) - set(COSTLY)
        self.tables = Tables()
        self.state: dict[str, Any] = {}
        self.kills = 0

    def run(self, is_enough: Callable[[bytes], bool]) -> bool:
        """Run the tap until there is enough output, then kill it and read no further.

        Returns:
            Whether it came to its end before.
        """
        arguments = self.workbench.tap(self.config, self.state, streams=self.streams)[3:]
        pipe, log = self.workbench.folder / "pipe", self.workbench.folder / "tap.log"
        if not pipe.exists():
            os.mkfifo(pipe)
        output = bytearray()
        process = self.tap.start(arguments, pipe, log)
        killed = False
        with pipe.open("rb", buffering=0) as source:
            while not killed and (chunk := source.read(1 << 12)):
                output += chunk
                killed = is_enough(bytes(output))
            if killed:
                os.kill(process, signal.SIGKILL)
        code = self.tap.wait()
        # The last line may be torn; a target would not take it.
        *lines, _ = bytes(output).split(b"\n")
        messages = parse(lines)
        self.tables.load(messages)
        states = [message["value"] for message in messages if message["type"] == "STATE"]
        if states:
            self.state = json.loads(json.dumps(states[-1], default=float))
        assert code == (-signal.SIGKILL if killed else 0), log.read_text(encoding="utf-8")[-4000:]
        self.kills += killed
        return not killed

    def finish(self) -> None:
        """Run the tap to its end."""
        assert self.run(lambda _output: False)

    def assert_equal(self, *moments: dict[str, Rows]) -> None:
        """Every table holds what the company has."""
        assert set(self.tables.rows) >= set(self.streams)
        found = [
            line
            for stream in self.streams
            for line in differences(
                stream, self.tables.rows[stream].values(), [moment[stream] for moment in moments]
            )
        ]
        assert not found, "\n".join([f"{len(found)} differences", *found[:40]])


@pytest.fixture
def survivor(tap: Tap, workbench: Workbench, config: dict[str, Any]) -> Survivor:
    """A tap of which every run may be killed."""
    return Survivor(tap, workbench, config)


def records(stream: str, number: int) -> Callable[[bytes], bool]:
    """Whether the output holds so many records of a stream."""
    mark = f'"RECORD","stream":"{stream}"'.encode()
    return lambda output: output.count(mark) >= number


def test_killed_in_the_middle_of_every_large_stream(
    company: Company,
    survivor: Survivor,
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = random.Random(1)
    moment = expect_all(company)
    streams = run_tap(monkeypatch, config).streams
    # What belongs to deals that were read does not come again; it has a test of its own.
    streams = [stream for stream in streams if stream not in LINE_ITEMS]
    large = [stream for stream in streams if len(moment.get(stream, ())) > 15]
    # Lists that come in one answer are in no order; only record by record has states within them.
    survivor.config["stream_maps"] = {name: MAPS[name] for name in large if name not in PAGED}
    for stream in large:
        survivor.run(records(stream, source.randint(1, len(moment[stream]))))
    assert survivor.kills == len(large)
    survivor.finish()
    survivor.assert_equal(moment)


def test_killed_with_stream_maps_while_the_company_works(
    company: Company, survivor: Survivor
) -> None:
    source = random.Random(3)
    survivor.config["stream_maps"] = MAPS
    moments = [expect_all(company)]
    for turn in range(ROUNDS):
        size = int(10 ** source.uniform(4.5, 6.3))
        survivor.run(lambda output, size=size: len(output) >= size)  # type: ignore[misc]
        change(company, 40, turn)
        moments.append(expect_all(company))
    survivor.finish()
    assert survivor.kills >= ROUNDS // 2
    survivor.assert_equal(*moments)


def test_killed_in_the_middle_of_deal_products(company: Company, survivor: Survivor) -> None:
    source = random.Random(5)
    moments = [expect_all(company)]
    for turn in range(ROUNDS):
        number = source.choice([1, 2, 20, 60, 120, 200])
        survivor.run(records("pipedrive_deal_products", number))
        change(company, 20, turn)
        items = list(company.tables["deal_products"])
        company.edit("deal_products", source.choice(items), quantity=turn + 2)
        moments.append(expect_all(company))
    survivor.finish()
    assert survivor.kills >= ROUNDS // 2
    survivor.assert_equal(*moments)


def test_killed_among_children_of_several_kinds(company: Company, survivor: Survivor) -> None:
    """Changes, followers and participants of deals, and messages of mail threads."""
    source = random.Random(11)
    survivor.streams = ("pipedrive_deals", "pipedrive_mail_threads", *COSTLY[:4])
    moments = [expect_all(company)]
    for turn in range(ROUNDS):
        survivor.run(records(COSTLY[turn % 4], source.choice([1, 3, 10, 40])))
        for table, name in (("deals", "title"), ("mail_threads", "subject")):
            for key in source.sample(list(company.tables[table]), 3):
                company.edit(table, key, **{name: f"Edited in turn {turn}"})
        moments.append(expect_all(company))
    survivor.finish()
    assert survivor.kills >= ROUNDS // 2
    survivor.assert_equal(*moments)


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_killed_anywhere_again_and_again(seed: int, company: Company, survivor: Survivor) -> None:
    """Together 25 kills, each at a random place of what was left to read."""
    source = random.Random(seed)
    if seed % 2:
        survivor.config["stream_maps"] = MAPS
    moments = [expect_all(company)]
    whole = 700_000
    while survivor.kills < KILLS:
        # Most of it early, since a run that continues has less to write.
        size = int(whole * source.random() ** (1 + survivor.kills))
        if survivor.run(lambda output, size=size: len(output) > size):  # type: ignore[misc]
            change(company, 60, survivor.kills)
            moments.append(expect_all(company))
    survivor.finish()
    survivor.assert_equal(*moments)


#: Streams of Pendo that a run reads by window or by id.
ANALYTICS = ("pendo_feature_events", "pendo_guide_events", "pendo_visitors")


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_reading_analytics(
    seed: int, tap: Tap, workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events continue window by window; the tables end as those of a run that nothing stopped."""
    source = random.Random(seed)
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    with PendoServer(Company(scale=0.02, now=now, usage_per_day=40)) as pendo:
        config = {"pendo_integration_key": pendo.key, "pendo_api_url": pendo.url}
        whole = run_tap(monkeypatch, config, catalog=select(discover(config), *ANALYTICS))
        size = sum(len(line) for line in whole.lines)
        survivor = Survivor(tap, workbench, config)
        survivor.streams = ANALYTICS
        for _ in range(4):
            survivor.run(lambda output: len(output) > size * source.random() * 0.7)
        survivor.finish()
    assert survivor.kills >= 2
    assert survivor.tables.rows == Tables().load(whole.messages).rows
