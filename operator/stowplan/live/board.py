"""The policies in force: from the handlers into the running scheduler, and what they govern back to the handlers.

``handlers`` bring the SchedulingPolicies and StatefulClusters whenever one changes, ``live.feed`` and ``live.loop`` say
which pods wait, and the board swaps the profiles of the scheduler between two decisions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import structlog

from stowplan import profiles
from stowplan.api import policy as api
from stowplan.api import policy_status
from stowplan.framework.conduct import Restored
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.runtime import Framework
from stowplan.live import failing
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins.policy_rules import Governed
from stowplan.reconcile.policy_status import PolicyFacts
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.cycle import Placed, Scheduler
from stowplan.scheduler.groups import Group, Roster
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.shadows import Shadow

log = structlog.get_logger(__name__)

OUTAGE_LOOK: Final = 1.0
"""Seconds between two looks at the domains of rules that relax."""


def _nobody() -> None:
    """Nobody has to be told."""


def _nothing(about: object) -> None:
    """Nobody has to be told of a policy."""


class PolicyBoard:
    """Joins policies and scheduler.

    Args:
        cache: the state of the cluster.
        queue: the pods that wait.
        args: what the configuration says about plugins.
        clock: seconds, monotonic.
        more: the other profiles, where the configuration has several.

    Attributes:
        scheduler: decides by the policies in force.
        policies: those.
        conduct: which plugins fail.
        on_change: called when pods that wait may have been woken by a change of policies or outages.
        on_outage: called with the keys of the policies for which a domain is out, or is there again.
        on_trial: called with the key of a policy in mode DryRun that has judged one more pod, or whose pods wait.
    """

    def __init__(
        self,
        cache: ClusterCache,
        queue: SchedulingQueue,
        args: profiles.PluginArgs,
        *,
        clock: Callable[[], float],
        more: tuple[profiles.PluginArgs, ...] = (),
    ) -> None:
        self._args = args
        self._more = more
        self.conduct = args.conduct
        self.on_change: Callable[[], None] = _nobody
        self.on_outage: Callable[[set[str]], None] = _nothing
        self.on_trial: Callable[[str], None] = _nothing
        self._trials: dict[str, api.SchedulingPolicySpec] = {}
        self._clock = clock
        self._backlog = profiles.Backlog()
        self._watch = profiles.OutageWatch()
        self._out: frozenset[profiles.Outage] = frozenset()
        self.policies = profiles.Policies((), (), args, self._backlog, more=more)
        roster = Roster(self._group_for, self._count)
        self.scheduler = Scheduler(cache, queue, self._framework_for, roster, self._shadow_for)
        self.policies.govern(cache.snapshot)

    # ------------------------------------------------------------ policies

    def apply(self, policies: Iterable[api.SchedulingPolicy], clusters: Iterable[profiles.Cluster]) -> None:
        """Puts all these policies in force, from the next decision on."""
        policies = tuple(policies)
        trials = {f"{each.metadata.namespace}/{each.metadata.name}": each.spec for each in policies
                  if each.spec.mode == "DryRun"}  # fmt: skip
        self.scheduler.trials.keep({key for key, spec in trials.items() if self._trials.get(key) == spec})
        self._trials = trials
        self.policies = profiles.Policies(policies, clusters, self._args, self._backlog, self._out, more=self._more)
        self.policies.govern(self.scheduler.cache.snapshot)
        self.scheduler.roster.regroup()
        self.look()
        self._changed()

    def facts(self, key: str) -> PolicyFacts:
        """What the policy governs at the moment. Raises KeyError where it is not in force."""
        nodes = self.scheduler.cache.snapshot
        if self.policies.tried(key):
            shadow = self.scheduler.trials.told(key, nodes, self._backlog)
            return PolicyFacts(
                shadow=shadow, error=self.policies.problems.get(key, ""), doubts=self.policies.doubts(key, nodes)
            )
        rows = self.policies.report(key, nodes)
        everybody = Governed(key, cluster=None)
        bound = nodes.counter(everybody).total
        pending = self._backlog.count(everybody, nodes)
        conflicts = self.policies.conflicts({*nodes.classes(), *self._backlog.classes()})
        return PolicyFacts(
            pods=policy_status.PodCounts(governed=bound + pending, bound=bound, pending=pending),
            domains=tuple(rows),
            overridden_by=tuple(sorted(conflicts.get(key, ()))),
            error=self.policies.problems.get(key, ""),
            doubts=self.policies.doubts(key, nodes),
            gangs=tuple(self._gangs(key)),
            broken=self._broken(key, rows),
        )

    def _gangs(self, key: str) -> Iterator[policy_status.GangStatus]:
        """The gangs of a policy of which members wait."""
        scheduler = self.scheduler
        for group, members in scheduler.roster.waiting():
            if not (isinstance(group.counted, Governed) and group.counted.policy == key):
                continue
            said = (queued.message for pod in members if (queued := scheduler.queue.get(pod.uid)) is not None)
            yield policy_status.GangStatus(
                name=group.name.partition("/")[2],
                min_member=group.min_member,
                waiting=len(members),
                bound=scheduler.cache.snapshot.counter(group.counted).total,
                message=next(filter(None, said), "")[:1024],
            )

    def bound(self, placed: Placed) -> None:
        """A pod has got its node: what a policy in mode DryRun has said about it counts."""
        said = placed.judgement
        if said is not None and said.policy in self._trials:
            self.scheduler.trials.bound(said)
            self.on_trial(said.policy)

    def broken(self, key: str) -> dict[str, tuple[str, ...]]:
        """By key of each StatefulCluster that a policy governs, its rules that the members break where they are.

        Raises:
            KeyError: the policy is not in force.
        """
        return self._broken(key, self.policies.report(key, self.scheduler.cache.snapshot))

    def _broken(self, key: str, rows: Iterable[policy_status.DomainStatus]) -> dict[str, tuple[str, ...]]:
        nodes = self.scheduler.cache.snapshot
        seen = {*nodes.classes(), *self._backlog.classes()}
        clusters = {cls.cluster for cls in seen if nodes.policy_of(cls) == key}
        rules: dict[str, dict[str, None]] = {cluster: {} for cluster in clusters}
        for row in rows:
            if row.violated:
                about = {row.group.partition("/")[0]} if len(clusters) > 1 else clusters
                for cluster in about & clusters:
                    rules[cluster][row.rule] = None
        namespace = key.partition("/")[0]
        return {f"{namespace}/{cluster}": tuple(found) for cluster, found in rules.items() if cluster}

    def look(self) -> None:
        """Sees which domains are out; swaps the profiles when that has changed."""
        nodes = self.scheduler.cache.snapshot
        seen = self._watch.observe(nodes, self.policies.relaxing(nodes), self._clock())
        if seen.lasting != self._out:
            log.info("domains out", domains=sorted({f"{each.rule}: {each.domain}" for each in seen.lasting}))
            concerned = {each.policy for each in seen.lasting ^ self._out}
            self._out = seen.lasting
            self.policies = self.policies.with_outages(seen.lasting)
            self._changed()
            self.on_outage(concerned)

    def relaxed(self, cls: PodClass) -> tuple[str, ...]:
        """Names of the rules that make allowance for a domain that is out now, for pods of this class."""
        if not self._out:
            return ()
        key = self.policies.key_for(cls)
        return tuple(sorted({each.rule for each in self._out if each.policy == key}))

    async def run(self) -> None:
        """Looks at outages and at plugins that fail until cancelled."""
        while True:
            await asyncio.sleep(OUTAGE_LOOK)
            self.look()
            self._hear_of_plugins()

    def _hear_of_plugins(self) -> None:
        """Logs which plugins fail; pods that waited for one that works again are worth another try."""
        news = self.conduct.tick(self._clock())
        for item in news:
            failing.log(item)
        if any(isinstance(item, Restored) for item in news):
            self._changed()

    def sweep(self) -> None:
        """Frees what no pod uses any more."""
        cache = self.scheduler.cache
        waiting = self.scheduler.queue.classes() | self.scheduler.roster.classes()
        cache.sweep(waiting)
        self.policies.keep({*cache.snapshot.classes(), *waiting})

    def _framework_for(self, cls: PodClass) -> Framework:
        return self.policies.framework_for(cls)

    def _shadow_for(self, cls: PodClass) -> Shadow | None:
        return self.policies.shadow_for(cls)

    def _changed(self) -> None:
        self.scheduler.happened([Happening(ClusterEvent.POLICY)], self._clock())
        self.on_change()

    # ------------------------------------------------------------ pods that wait

    def waits(self, pod: PodInfo) -> None:
        """The pod is ours and has no node."""
        self.scheduler.roster.waits(pod)

    def settled(self, uid: str) -> None:
        """The pod has a node, or is gone; one that did not wait is fine."""
        self.scheduler.roster.settled(uid)

    def sleeps(self, pod: PodInfo) -> None:
        """The pod fits nowhere by the rules in force."""
        if self._trials and (key := self.scheduler.cache.snapshot.shadow_of(pod.cls)):
            self.on_trial(key)

    def _group_for(self, cls: PodClass) -> Group | None:
        return self.policies.group_for(cls)

    def _count(self, cls: PodClass, delta: int) -> None:
        """One more pod of the class waits, or one less."""
        nodes = self.scheduler.cache.snapshot
        (self._backlog.add if delta > 0 else self._backlog.remove)(cls, nodes)
        if self._trials and (key := nodes.shadow_of(cls)):
            self.on_trial(key)
