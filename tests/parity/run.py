"""Compares many states, in several processes: which states, how many pods, what came of each."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.parity import world
from tests.parity.compare import Compared, compare
from tests.parity.draw import Object
from tests.parity.kube_scheduler import Oracle, OracleError
from tests.parity.shrink import shrink
from tests.parity.verdict import Difference

_AT_ONCE = 20
"""States that a process compares before it says what came of them."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """A pod on which the two differ."""

    seed: str
    features: tuple[str, ...]
    pod: str
    differences: list[Difference]


@dataclasses.dataclass
class Row:
    """The pods of the states that are full of one feature."""

    states: int = 0
    pods: int = 0
    infeasible: int = 0
    differences: int = 0
    excepted: int = 0


@dataclasses.dataclass
class Total:
    """What came of all states so far.

    Attributes:
        pods: how many were compared.
        states: how many they were in.
        rows: by feature; a state can be full of several.
        excepted: pods by exception.
        invalid: what the API server would not take and why, by seed and object.
        failures: pods on which the two differ.
    """

    pods: int = 0
    states: int = 0
    rows: dict[str, Row] = dataclasses.field(default_factory=lambda: collections.defaultdict(Row))
    excepted: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    invalid: dict[str, str] = dataclasses.field(default_factory=dict)
    failures: list[Failure] = dataclasses.field(default_factory=list)

    def add(self, seed: str, features: Sequence[str], one: Compared) -> None:
        """Counts one state."""
        self.pods += len(one.verdicts)
        self.states += 1
        for feature in features:
            row = self.rows[feature]
            row.states += 1
            row.pods += len(one.verdicts)
            row.infeasible += sum(not each.feasible for each in one.verdicts.values())
            row.differences += len(one.differences)
            row.excepted += len(one.excepted)
        self.excepted.update(itertools.chain.from_iterable(one.excepted.values()))
        self.invalid.update({f"{seed} {what}": why for what, why in one.invalid.items()})
        self.failures += [Failure(seed, tuple(features), pod, found) for pod, found in one.differences.items()]


def totals(
    program: Path, *, pods: int, seed: str, features: Sequence[str], workers: int, most_failures: int = 20
) -> Iterator[Total]:
    """Compares until so many pods are done, and says how far it is, again and again; the last is the result.

    Args:
        program: the oracle.
        pods: at least this many.
        seed: of all states.
        features: what the states may be full of.
        workers: processes; each has an oracle of its own.
        most_failures: stops early after so many differences.
    """
    total = Total()
    context = multiprocessing.get_context("spawn")
    numbers = itertools.count(0, _AT_ONCE)
    with concurrent.futures.ProcessPoolExecutor(workers, context, _start, (program,)) as pool:

        def submit() -> concurrent.futures.Future[list[tuple[str, tuple[str, ...], Compared]]]:
            return pool.submit(_some, seed, next(numbers), tuple(features))

        under_way = collections.deque(submit() for _ in range(2 * workers))
        try:
            while total.pods < pods and len(total.failures) < most_failures:
                for done in under_way.popleft().result():
                    total.add(*done)
                under_way.append(submit())
                yield total
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_oracle: Oracle | None = None


def _start(program: Path) -> None:
    global _oracle  # noqa: PLW0603 - one for each process of the pool
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that shows the result
    _oracle = Oracle(program)


def _some(seed: str, first: int, features: tuple[str, ...]) -> list[tuple[str, tuple[str, ...], Compared]]:
    assert _oracle is not None
    found = []
    for number in range(first, first + _AT_ONCE):
        of_state = f"{seed}-{number}"
        items, full_of = world.state(of_state, features)
        found.append(
            (of_state, tuple(sorted(full_of)), compare(_oracle, items, before=world.earlier(items, of_state, features)))
        )
    return found


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A small state with a difference.

    Attributes:
        items: the state.
        before: the earlier state that it needs; empty where it needs none.
        differences: what shows in it.
    """

    items: list[Object]
    before: list[Object]
    differences: list[Difference]


def reproduction(program: Path, failure: Failure, features: Sequence[str]) -> Reproduction:
    """The smallest state found in which the pod shows the same kind of difference."""
    items, _ = world.state(failure.seed, features)
    before = world.earlier(items, failure.seed, features)
    kinds = {each.kind for each in failure.differences}
    oracle = Oracle(program)
    found = failure.differences

    def fails(smaller: Sequence[Object], smaller_before: Sequence[Object]) -> bool:
        nonlocal oracle, found
        try:
            one = compare(oracle, smaller, before=smaller_before, only=[failure.pod])
        except OracleError:
            oracle.close()
            oracle = Oracle(program)
            return False
        differences = one.differences.get(failure.pod, [])
        if one.invalid or not kinds & {each.kind for each in differences}:
            return False
        found = differences
        return True

    try:
        if before and fails(items, []):
            before = []
        items = shrink(items, lambda smaller: fails(smaller, before))
        if before:
            before = shrink(before, lambda smaller: fails(items, smaller))
        return Reproduction(items, before, found)
    finally:
        oracle.close()
