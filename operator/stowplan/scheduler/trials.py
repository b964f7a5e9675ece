"""Counts what policies in mode DryRun would have done, for ``status.shadow``.

``scheduler.cycle`` and ``live.board`` hand over each judgement (``scheduler.shadows``); the board asks for the sums
when the status is written. A gang is judged as a whole: the rules in force place its members one after the other, so
what the policy would have done about the first of them is known when enough of them have been judged.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection
from typing import Protocol

from stowplan.api import policy_status
from stowplan.framework.counters import Predicate
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass
from stowplan.scheduler.groups import Group
from stowplan.scheduler.shadows import Judgement, Would


class Waiting(Protocol):
    """The pods that have no node."""

    def count(self, predicate: Predicate, nodes: Snapshot) -> int:
        """How many of them satisfy the predicate."""

    def number(self, cls: PodClass) -> int:
        """How many of them are of a class."""


@dataclasses.dataclass(slots=True)
class _Gang:
    """A gang of which not enough members have been judged.

    Attributes:
        missing: how many must fit before the judgements count.
        said: the judgements so far.
    """

    missing: int = 0
    said: Counter[Would] = dataclasses.field(default_factory=Counter)

    @property
    def fit(self) -> int:
        """Members that would fit."""
        return self.said.total() - self.said[Would.NOWHERE]


@dataclasses.dataclass(slots=True)
class _Record:
    """What one policy has said.

    Attributes:
        bound: about pods that have been bound, all gangs of which are complete.
        gangs: those that are not.
        stuck: about pods that wait, by class, when one of them was tried last.
    """

    bound: Counter[Would] = dataclasses.field(default_factory=Counter)
    gangs: dict[Group, _Gang] = dataclasses.field(default_factory=dict)
    stuck: dict[PodClass, Judgement] = dataclasses.field(default_factory=dict)


class Trials:
    """All that policies in mode DryRun have said since they were made or changed."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def keep(self, policies: Collection[str]) -> None:
        """Forgets what other policies have said."""
        self._records = {key: record for key, record in self._records.items() if key in policies}

    def bound(self, said: Judgement) -> None:
        """A pod has got its node: what was said when that was chosen counts."""
        record = self._record(said)
        if said.gang is None or (said.gang not in record.gangs and said.gang.min_member - said.begun <= 1):
            record.bound[said.would] += 1
            return
        gang = record.gangs.setdefault(said.gang, _Gang())
        gang.missing = max(gang.missing, said.gang.min_member - said.begun)  # binds end in any order
        gang.said[said.would] += 1
        if gang.fit >= gang.missing:
            record.bound += gang.said
            del record.gangs[said.gang]

    def stuck(self, said: Judgement, cls: PodClass) -> None:
        """A pod of the class fits nowhere by the rules in force."""
        self._record(said).stuck[cls] = said

    def knows(self, policy: str, cls: PodClass) -> bool:
        """Whether a waiting pod of the class has been judged."""
        record = self._records.get(policy)
        return record is not None and cls in record.stuck

    def told(self, policy: str, nodes: Snapshot, waiting: Waiting) -> policy_status.Shadow:
        """The sums.

        Args:
            policy: the key of the policy.
            nodes: the cluster.
            waiting: the pods that have no node.
        """
        record = self._records.get(policy)
        if record is None:
            return policy_status.Shadow()
        record.stuck = {cls: said for cls, said in record.stuck.items() if waiting.number(cls)}
        hopeless: Counter[Group | None] = Counter()
        for cls, said in record.stuck.items():
            if said.would is Would.NOWHERE:
                hopeless[said.gang] += waiting.number(cls)
        sums, incomplete = Counter(record.bound), 0
        for group, gang in list(record.gangs.items()):
            undecided = waiting.count(group.counted, nodes)
            members = nodes.counter(group.counted).total + undecided
            number = gang.said.total()
            if not members:  # they have run, and would not have
                record.bound[Would.NOWHERE] += number
                del record.gangs[group]
            if gang.fit + undecided - hopeless[group] >= gang.missing:
                sums += gang.said
            elif 0 < members < group.min_member:
                incomplete += number
            else:
                sums[Would.NOWHERE] += number
        return policy_status.Shadow(
            decisions=sums.total() + incomplete,
            different=sums[Would.BETTER] + sums[Would.ELSEWHERE] + sums[Would.EVICT],
            better=sums[Would.BETTER],
            evicting=sums[Would.EVICT],
            impossible=sums[Would.NOWHERE],
            incomplete=incomplete,
            unblocked=sum(
                waiting.number(cls) for cls, said in record.stuck.items() if _helped(said, nodes, waiting)
            ),
        )  # fmt: skip

    def _record(self, said: Judgement) -> _Record:
        return self._records.setdefault(said.policy, _Record())


def _helped(said: Judgement, nodes: Snapshot, waiting: Waiting) -> bool:
    """Whether a pod that waits would not have to."""
    if said.would is Would.NOWHERE:
        return False
    if said.gang is None:
        return True
    counted = said.gang.counted
    return nodes.counter(counted).total + waiting.count(counted, nodes) >= said.gang.min_member
