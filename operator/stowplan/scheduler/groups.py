"""Pods that are decided about together: gangs, and members of a StatefulCluster that wait at the same time.

``profiles`` says which group a pod is in; the :class:`Roster` knows the members that wait. It also remembers, for each
group, when the solver was asked for it, and whether the group is being bound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator

from stowplan.framework.counters import Predicate
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.remedies import Remedy
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo
from stowplan.model.words import counted

MOST_ALIKE = 1024
"""Kinds of groups that are told apart before they are forgotten."""
SHARE = 20
"""A group for which the solver took a second is not asked about again for as many seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A group of pods. A value: equal for all of its members.

    Attributes:
        name: in what users read, such as ``gang prod/train-1``.
        counted: its members on nodes.
        min_member: fewer than that are not placed; 1 for pods that are only better placed together.
        timeout: seconds for which the room of the first members is held while volumes are made for the others.
    """

    name: str
    counted: Predicate
    min_member: int = 1
    timeout: float = 0.0

    @property
    def strict(self) -> bool:
        """Whether its members are placed all together or not at all."""
        return self.min_member > 1

    def need(self, waiting: int, nodes: Snapshot) -> int:
        """How many of the waiting members must be placed at once, or else none of them is.

        Members on nodes count. Where there are any but too few are left to wait for, the group has begun before: those
        that are missing may have done their work, so the others are not held up for them.
        """
        if not self.strict:
            return 1
        bound = nodes.counter(self.counted).total
        missing = self.min_member - bound
        return 1 if bound and waiting < missing else max(missing, 1)


@dataclasses.dataclass(slots=True)
class _Memory:
    """What is remembered of a group: who of it waits, by uid, and the questions to the solver."""

    members: dict[str, PodInfo] = dataclasses.field(default_factory=dict)
    asking: bool = False
    quiet_until: float = 0.0


class Roster:
    """All pods that have no node, and the groups that they are in.

    Args:
        group_of: the group of the pods of a class by the policies in force; None for pods that are placed alone.
        count: told of each class that one more (1) or one less (-1) of its pods waits.

    Attributes:
        binding: the groups of which some members have been decided about and are not bound yet.
        short: the groups that wait for more members (``Company``).
    """

    def __init__(self, group_of: Callable[[PodClass], Group | None], count: Callable[[PodClass, int], None]) -> None:
        self._group_of = group_of
        self._count = count
        self._pods: dict[str, PodInfo] = {}
        self._groups: dict[Group, _Memory] = {}
        self._alike: dict[frozenset[Hashable], object] = {}
        self.binding: set[Group] = set()
        self.short: set[Group] = set()

    def of(self, pod: PodInfo) -> Group | None:
        """The group of a pod."""
        return self._group_of(pod.cls)

    def waits(self, pod: PodInfo) -> None:
        """A pod waits for a node (still, maybe with another spec)."""
        known = self._pods.get(pod.uid)
        if known is None or known.cls is not pod.cls:
            self.settled(pod.uid)
            self._count(pod.cls, 1)
        self._pods[pod.uid] = pod
        self._join(pod)

    def settled(self, uid: str) -> None:
        """A pod has a node, or is gone; one that did not wait is fine."""
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        self._count(pod.cls, -1)
        group = self.of(pod)
        if group is not None:
            memory = self._groups[group]
            del memory.members[uid]
            self._tidy(group, memory)

    def members(self, group: Group) -> tuple[PodInfo, ...]:
        """The members that wait, whether they may be placed or not."""
        memory = self._groups.get(group)
        return () if memory is None else tuple(memory.members.values())

    def standing(self, pod: PodInfo, nodes: Snapshot) -> str:
        """For users: the gang of a pod that waits, and whether enough of it are there; "" where it is in none."""
        group = self.of(pod)
        if group is None or not group.strict:
            return ""
        there = sum(not each.gates for each in self.members(group))
        bound = nodes.counter(group.counted).total
        if group.need(there, nodes) > there:
            return incomplete(group, there + bound)
        waits = counted(there, "member waits", "members wait")
        placed = counted(bound, "is on a node", "are on nodes")
        return f"{group.name}: {waits} and {placed}; minMember is {group.min_member}"

    def waiting(self) -> Iterator[tuple[Group, tuple[PodInfo, ...]]]:
        """The gangs that wait, whole or in part, each with the members that may be placed."""
        for group, memory in self._groups.items():
            members = tuple(pod for pod in memory.members.values() if not pod.gates)
            if group.strict and members and group not in self.binding:
                yield group, members

    def classes(self) -> set[PodClass]:
        """The classes of the pods that wait."""
        return {pod.cls for pod in self._pods.values()}

    def regroup(self) -> None:
        """The policies have changed: sorts the pods that wait anew. Nobody may ask ``of`` between the two."""
        self._groups.clear()
        self.short.clear()
        for pod in self._pods.values():
            self._join(pod)

    def _join(self, pod: PodInfo) -> None:
        group = self.of(pod)
        if group is not None:
            self._groups.setdefault(group, _Memory()).members[pod.uid] = pod

    def _tidy(self, group: Group, memory: _Memory) -> None:
        if not memory.members and not memory.asking:
            del self._groups[group]
            self.short.discard(group)

    def alike(self, keys: frozenset[Hashable]) -> object:
        """One object for equal keys, which compares faster than they do."""
        if len(self._alike) >= MOST_ALIKE:
            self._alike.clear()
        return self._alike.setdefault(keys, object())

    def joined(self, pod: PodInfo) -> PodInfo | None:
        """One of those that have waited for more members, where a pod that is on a node is one of these; else None."""
        group = self.of(pod) if self.short else None
        return next(iter(self.members(group)), None) if group in self.short and group is not None else None

    # ------------------------------------------------------------ questions to the solver

    def may_ask(self, group: Group, now: float) -> bool:
        """Whether the solver may be asked about the group: it is not being asked, and was not for long of late."""
        memory = self._groups.get(group)
        return memory is not None and not memory.asking and now >= memory.quiet_until

    def is_asking(self, group: Group) -> bool:
        """Whether the solver is being asked."""
        memory = self._groups.get(group)
        return memory is not None and memory.asking

    def asks(self, group: Group) -> None:
        """The solver is asked."""
        self._groups.setdefault(group, _Memory()).asking = True

    def answered(self, group: Group, seconds: float, now: float) -> None:
        """The solver has answered, after so many seconds."""
        memory = self._groups.get(group)
        if memory is not None:
            memory.asking = False
            memory.quiet_until = now + SHARE * seconds
            self._tidy(group, memory)


class Together:
    """The remedy of members that wait for one another: whatever helps any of them.

    A member that would fit may still hold the only node that another one can use, so an event that gives it a choice
    may help the group.

    Args:
        group: theirs.
        members: pods that differ, each with what may help it.
        alike: the same object for groups that the same events help: each event is judged once for all of those.
    """

    def __init__(self, group: Group, members: Iterable[tuple[PodInfo, Remedy]], alike: object) -> None:
        self._group = group
        self._members = tuple(members)
        self._alike = alike
        self.kinds = frozenset({ClusterEvent.POLICY}).union(*(remedy.kinds for _, remedy in self._members))

    def key(self, pod: PodInfo, nodes: Snapshot) -> Group:
        """The group."""
        return self._group

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        """Whether it may help any member."""
        return event.once(self._alike, lambda: self._helps_any(event, nodes))

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """A node for one member is another one for the others."""
        return False

    def _helps_any(self, event: Happening, nodes: Snapshot) -> bool:
        return any(event.kind in remedy.kinds and remedy.helps(each, event, nodes) for each, remedy in self._members)


class Company:
    """The remedy of members that wait for more of them: nothing that happens to nodes and other pods helps.

    A member that comes takes them along; of one that somebody else has placed ``Roster.joined`` tells.
    """

    kinds = frozenset({ClusterEvent.POLICY})

    def __init__(self, group: Group) -> None:
        self._group = group

    def key(self, pod: PodInfo, nodes: Snapshot) -> Group:
        """The group."""
        return self._group

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        """Never."""
        return False

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Nothing helps."""
        return False


def incomplete(group: Group, members: int) -> str:
    """Why members wait for others that are not there."""
    return f"{group.name}: {members} of minMember {group.min_member} members exist"
