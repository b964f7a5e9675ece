"""Puts one state before the oracle and before Stowplan, and says where they differ."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from tests.parity import exceptions
from tests.parity.draw import Object
from tests.parity.kube_scheduler import Oracle, OracleError
from tests.parity.stowplan_judge import DEFAULT, State
from tests.parity.verdict import Difference, Preempted, Verdict

from stowplan.profiles.assembly import PluginArgs

RAISED = "raised"


@dataclasses.dataclass(frozen=True)
class Compared:
    """What came of one state.

    Attributes:
        verdicts: the oracle's, by ``namespace/name`` of each pod.
        differences: unexplained ones, by pod; pods without are left out.
        excepted: by pod, the exceptions that a difference is made up of.
        invalid: what the API server would not take.
    """

    verdicts: dict[str, Verdict]
    differences: dict[str, list[Difference]]
    excepted: dict[str, tuple[str, ...]]
    invalid: dict[str, str]


def compare(
    oracle: Oracle, items: Sequence[Object], *, before: Sequence[Object] = (), only: Iterable[str] | None = None,
    args: PluginArgs = DEFAULT,
) -> Compared:  # fmt: skip
    """Compares the verdicts on the pending pods of a state.

    Args:
        oracle: is asked.
        items: the state.
        before: an earlier state that Stowplan has in memory when it learns of this one; none, if there is nothing.
        only: these pods (``namespace/name``), all if not given.
        args: Stowplan's profile; that of the oracle must say the same.
    """
    earlier = oracle.ask(before).objects if before else []
    answer = oracle.ask(items)
    found = Compared(answer.verdicts, {}, {}, answer.invalid)
    try:
        state = State(answer.objects, earlier, args)
        wrong = state.cache.snapshot.check()
    except Exception as error:  # noqa: BLE001 - whatever Stowplan does with a state that may be is a finding
        found.differences.update({key: [_raised(error)] for key in answer.verdicts})
        return found
    if wrong:
        found.differences.update({key: [Difference("state", ", ".join(wrong))] for key in answer.verdicts})
    for key in answer.verdicts if only is None else only:
        theirs = answer.verdicts.get(key)
        if theirs is None:
            continue
        try:
            one = exceptions.differences(key, state, items, theirs, functools.partial(_one, oracle, key))
            if not one.left and exceptions.CLAIM_TWICE not in one.used and theirs.preemption is not None:
                victims = _victims(state, items, key, theirs.preemption, functools.partial(_one, oracle, key))
                one = exceptions.Compared((*one.used, *victims.used), victims.left)
        except Exception as error:  # noqa: BLE001 - as above
            one = exceptions.Compared((), [_raised(error)])
        if one.left:
            found.differences[key] = one.left
        elif one.used:
            found.excepted[key] = one.used
    return found


def _victims(
    state: State, items: Sequence[Object], key: str, theirs: Preempted, ask: exceptions.Ask
) -> exceptions.Compared:
    left = state.preemption(key, theirs)
    twin = exceptions.never_counted(key, items) if left else None
    again = None if twin is None else ask(twin).preemption
    if again is None:
        return exceptions.Compared((), left)
    return exceptions.Compared((exceptions.NEVER_COUNTED,), state.preemption(key, again))


def _one(oracle: Oracle, key: str, items: Sequence[Object]) -> Verdict:
    verdicts = oracle.ask(items).verdicts
    if key not in verdicts:
        raise OracleError(f"the oracle says nothing of {key}")
    return verdicts[key]


def _raised(error: Exception) -> Difference:
    return Difference(RAISED, f"Stowplan {type(error).__name__}: {error}")
