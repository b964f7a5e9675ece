"""All policies of a cluster at one time: who is governed by which, and the plugins that place them.

``live`` and ``simulator`` make a new :class:`Policies` whenever a policy, a StatefulCluster or an outage comes or goes,
and put it in force with :meth:`Policies.govern`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

from stowplan.api.policy import SchedulingPolicy
from stowplan.api.policy_status import DomainStatus
from stowplan.framework.conduct import Conduct
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass
from stowplan.plugins import inclusion, policy_report
from stowplan.plugins.group_size import Backlog, GroupSizes
from stowplan.plugins.outages import Outage
from stowplan.plugins.policy_keeper import PolicyKeeper
from stowplan.plugins.policy_missing import PolicyMissing
from stowplan.plugins.policy_rules import SpreadRule
from stowplan.profiles import assembly, doubts, gangs
from stowplan.profiles.assembly import PluginArgs
from stowplan.profiles.compile import CompiledPolicy, compile_policy
from stowplan.profiles.governance import Cluster, Governance, declared, quorums
from stowplan.scheduler.groups import Group
from stowplan.scheduler.shadows import Shadow


class Policies:
    """Immutable, but for what it remembers of its own answers.

    Args:
        policies: the SchedulingPolicies of all namespaces.
        clusters: the StatefulClusters of all namespaces.
        args: from the configuration: the profile of all pods whose schedulerName is that of no other.
        backlog: the pods that wait for a node; kept by the caller, counted here.
        out: the domains that have been unusable for as long as the rules wait, see ``plugins.outages``.
        more: the other profiles, where there are several.

    Raises:
        UsageError: the configuration weighs a plugin that there is not.

    Attributes:
        problems: by key of the policy, what is wrong with it that the API server could not tell; the rest of the
            policy is in force.
    """

    def __init__(
        self,
        policies: Iterable[SchedulingPolicy],
        clusters: Iterable[Cluster],
        args: PluginArgs,
        backlog: Backlog,
        out: frozenset[Outage] = frozenset(),
        *,
        more: Iterable[PluginArgs] = (),
    ) -> None:
        compiled = map(compile_policy, policies)
        self._policies: Mapping[str, CompiledPolicy] = {policy.key: policy for policy in compiled}
        self._clusters = tuple(clusters)
        self._args = args
        self._profiles: Mapping[str, PluginArgs] = {
            each.scheduler_name: dataclasses.replace(each, conduct=args.conduct) for each in (args, *more)
        }
        self._backlog = backlog
        self._out = out
        self._governance = Governance(self._policies.values(), self._clusters)
        self._sizes = GroupSizes(declared(self._clusters), backlog)
        self._frameworks: dict[tuple[str, str], Framework] = {}
        self._shadows: dict[tuple[str, str], Shadow] = {}
        self._waiting: dict[tuple[str, str], Framework] = {}
        scoring = frozenset[str]().union(*(each.scoring for each in self._profiles.values()))
        self.problems: Mapping[str, str] = {
            policy.key: f"spec.scoring.weights: {problem}; that weight is left out, the rest of the policy is in force"
            for policy in self._policies.values()
            if (problem := assembly.unknown_weights(policy.weights, scoring))
        }

    def govern(self, nodes: Snapshot) -> None:
        """Puts these policies in force: from now on the snapshot counts by them."""
        nodes.policy_of = self.key_for
        nodes.shadow_of = self._governance.shadow_for
        nodes.recount()
        self._backlog.forget()

    def with_outages(self, out: frozenset[Outage]) -> Policies:
        """The same policies, with other domains out."""
        twin = copy.copy(self)
        twin._out = out
        twin._frameworks = {}
        twin._shadows = {}
        return twin

    def key_for(self, cls: PodClass) -> str:
        """The key (``namespace/name``) of the policy that governs the pods of a class, or ""."""
        return self._governance.key_for(cls)

    def counting(self, cls: PodClass) -> frozenset[str]:
        """The keys of the policies whose rules count the pods of a class, governed by them or not."""
        return self._governance.counting(cls)

    def framework_for(self, cls: PodClass) -> Framework:
        """The plugins that place the pods of a class."""
        args = self._profiles.get(cls.scheduler, self._args)
        missing = self._governance.missing_for(cls) if cls.policy or cls.cluster else ""
        if missing:
            return self._wait_for(missing, args)
        policy = self.key_for(cls)
        framework = self._frameworks.get((args.scheduler_name, policy))
        if framework is None:
            framework = assembly.assemble(
                args, self._policies.get(policy), self._out, self._sizes, self._preemption_keeper()
            )
            self._frameworks[args.scheduler_name, policy] = framework
        return framework

    def shadow_for(self, cls: PodClass) -> Shadow | None:
        """The policy in mode DryRun that is tried on the pods of a class, or None."""
        key = self._governance.shadow_for(cls)
        if not key:
            return None
        args = self._profiles.get(cls.scheduler, self._args)
        shadow = self._shadows.get((args.scheduler_name, key))
        if shadow is None:
            keeper = self._preemption_keeper()
            apart = dataclasses.replace(args, conduct=Conduct())  # what fails here must hold up no pod
            framework = assembly.assemble(apart, self._policies[key], self._out, self._sizes, keeper)
            shadow = self._shadows[args.scheduler_name, key] = Shadow(key, framework, self._gangs_of(key))
        return shadow

    def _gangs_of(self, key: str) -> Callable[[PodClass], Group | None]:
        """In which group a policy would place the pods of a class if it were in force."""
        return lambda cls: gangs.group_of(cls, key, self._policies[key].gang)

    def doubts(self, key: str, nodes: Snapshot) -> tuple[str, ...]:
        """What is likely a mistake in a policy. Raises KeyError where there is no such policy."""
        return doubts.doubts(self._policies[key], nodes)

    def tried(self, key: str) -> bool:
        """Whether a policy is in mode DryRun. Raises KeyError where there is no such policy."""
        return not self._policies[key].enforced

    def group_for(self, cls: PodClass) -> Group | None:
        """The group whose members are placed together, or None."""
        policy = self.key_for(cls)
        compiled = self._policies.get(policy)
        return gangs.group_of(cls, policy, None if compiled is None else compiled.gang)

    def conflicts(self, classes: Iterable[PodClass]) -> dict[str, frozenset[str]]:
        """By key of the policy, the names of those that take pods which it selects, too. Others have no conflict."""
        return self._governance.conflicts(classes)

    def report(self, key: str, nodes: Snapshot) -> list[DomainStatus]:
        """Where the pods of a policy are: ``status.domains``. Raises KeyError where there is no such policy."""
        return policy_report.report(self._rules(self._policies[key]), nodes, self._backlog.classes())

    def relaxing(self, nodes: Snapshot) -> Iterator[tuple[SpreadRule, inclusion.Wishes]]:
        """The rules whose domains are to be watched for outages, each with the wishes of pods that it governs."""
        if not any(rule.relaxes for policy in self._policies.values() for rule in policy.spread):
            return
        seen = set()
        for cls in {*nodes.classes(), *self._backlog.classes()}:
            for key in (self.key_for(cls), self._governance.shadow_for(cls)):
                policy = self._policies.get(key)
                if policy is None:
                    continue
                for rule in policy.spread:
                    watched = (rule, inclusion.wishes(cls, policy.added))
                    if rule.relaxes and watched not in seen:
                        seen.add(watched)
                        yield watched

    def _rules(self, policy: CompiledPolicy) -> policy_report.Rules:
        return policy_report.Rules(
            policy.key, policy.spread, policy.separate, policy.colocate, policy.added, self._out, self._sizes
        )

    def _preemption_keeper(self) -> PolicyKeeper:
        return PolicyKeeper(
            (self._rules(policy) for policy in self._policies.values() if policy.enforced), quorums(self._clusters)
        )

    def keep(self, used: set[PodClass]) -> None:
        """Forgets what was said of classes that are not in use; goes with ``Interner.keep``."""
        self._governance.keep(used)

    def _wait_for(self, policy: str, args: PluginArgs) -> Framework:
        framework = self._waiting.get((args.scheduler_name, policy))
        if framework is None:
            plugins = [PolicyMissing(policy.partition("/")[2])]
            framework = Framework(args.scheduler_name, plugins, {}, args.conduct)
            self._waiting[args.scheduler_name, policy] = framework
        return framework
