"""Which queues a worker serves, in which order, and what it keeps free."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobError, JobPriority, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidJobError
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claim
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import ServedQueues, parse_queues

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT, EMAILS, REPORTS = keys.queue(), keys.queue("emails"), keys.queue("reports")


def served(queues: str | Iterable[str] | Mapping[str, int] = (), max_jobs: int = 10) -> ServedQueues:
    return ServedQueues(queues, first=DEFAULT, max_jobs=max_jobs)


def running(*lanes: str) -> list[Claim]:
    return [Claim(f"job {number}", b"", 1, 0, 0, lane, "", 0, "1:0") for number, lane in enumerate(lanes)]


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ("*", {"*": 0}),
        ("emails,reports", {"emails": 0, "reports": 0}),
        (" emails = 5 , * ", {"emails": 5, "*": 0}),
        ("a.b-c_d:1", {"a.b-c_d:1": 0}),
    ],
)
def test_queues_are_read_in_their_order(text: str, queues: dict[str, int]) -> None:
    """Names with commas between, and the slots that are kept free for each."""
    read = parse_queues(text)
    assert list(read.items()) == list(queues.items())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "queue ''"),
        ("emails,", "queue ''"),
        ("emails,emails=2", "'emails' is named twice"),
        ("emails=", "'emails='"),
        ("emails=many", "'emails=many'"),
        ("emails=-1", "'emails=-1'"),
        ("*=5", "'*=5'"),
        ("two words", "queue 'two words'"),
        ("emails@8", "queue 'emails@8'"),
        ("health-check", "queue 'health-check'"),
        ("x" * 201, "200 at most"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, problem: str) -> None:
    """The error says which part is wrong."""
    with pytest.raises(InvalidJobError) as error:
        parse_queues(text)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        ((), [DEFAULT]),
        ("*", [DEFAULT]),
        ("emails,*", [EMAILS, DEFAULT]),
        ("default,emails", [DEFAULT, EMAILS]),
        ("emails", [EMAILS]),
        (["reports", "emails"], [REPORTS, EMAILS]),
        ({"emails": 5, "reports": 0}, [EMAILS, REPORTS]),
    ],
)
def test_a_worker_serves_what_it_is_told(
    queues: str | list[str] | dict[str, int] | tuple[()], expected: list[str]
) -> None:
    """As a text, a list or a mapping; if it is told nothing it is arq's own queue."""
    assert served(queues).keys == expected


def test_only_who_serves_all_queues_learns_of_new_ones() -> None:
    """Whichever lane of it is told, a queue is served once, and those that were named stay first."""
    everything, some = served("emails,*"), served("emails")
    assert everything.add([keys.queue("reports", JobPriority.HIGH), REPORTS, EMAILS, DEFAULT])
    assert not everything.add([keys.queue("reports", JobPriority.LOW)])
    assert everything.keys == [EMAILS, DEFAULT, REPORTS]
    assert not some.add([REPORTS])
    assert some.keys == [EMAILS]


def test_the_lanes_stand_by_priority_then_as_named() -> None:
    """A critical job of the last queue comes before a normal one of the first."""
    assert served("emails,reports").lanes() == [
        keys.queue(name, priority)
        for priority in (JobPriority.CRITICAL, JobPriority.HIGH, JobPriority.NORMAL, JobPriority.LOW)
        for name in ("emails", "reports")
    ]


def test_queues_that_are_not_named_take_turns() -> None:
    """A flood in one of them does not keep the others waiting."""
    queues = served("emails,*")
    queues.add([REPORTS])
    firsts = [[key for key in queues.lanes() if key in {EMAILS, DEFAULT, REPORTS}] for _ in range(4)]
    assert sorted(firsts[:2]) == [[EMAILS, DEFAULT, REPORTS], [EMAILS, REPORTS, DEFAULT]]
    assert firsts[2:] == firsts[:2]


def test_slots_are_kept_free_for_a_queue() -> None:
    """What others fill does not count for it, and its own jobs fill its own slots first."""
    queues = served("emails=3,reports")
    lanes = queues.lanes()

    def told(*jobs: str) -> object:
        return msgspec.msgpack.decode(queues.kept(running(*jobs), lanes))

    numbers = [1, 2] * 4
    assert told() == [7, numbers, [3, 0]]
    assert told(REPORTS, keys.queue("emails", JobPriority.HIGH)) == [6, numbers, [2, 0]]
    assert told(*[EMAILS] * 4) == [6, numbers, [0, 0]]
    assert queues.open(running(*[REPORTS] * 6)) == [EMAILS, REPORTS]
    assert queues.open(running(*[REPORTS] * 7)) == [EMAILS]
    assert not served("emails,reports").kept([], lanes)


@pytest.mark.parametrize(
    ("queues", "max_jobs", "fits"),
    [
        ("emails=10", 10, True),
        ("emails=6,reports=4", 10, True),
        ("emails=11", 10, False),
        ("emails=10,reports", 10, False),
        ("emails=10,*", 10, False),
        ("emails=9,*", 10, True),
    ],
)
def test_a_slot_is_left_for_the_other_queues(queues: str, max_jobs: int, *, fits: bool) -> None:
    """Else they would never be served."""
    if fits:
        assert served(queues, max_jobs)
        return
    with pytest.raises(JobError, match=f"max_jobs={max_jobs}"):
        served(queues, max_jobs)


def test_the_first_queue_stays_the_first() -> None:
    """Whatever other queues a worker of all of them comes to know: its sign of life is that of the first."""
    of_all = ServedQueues("*", first="zeta")
    of_all.add([EMAILS, DEFAULT])
    assert of_all.keys == ["zeta", DEFAULT, EMAILS]
