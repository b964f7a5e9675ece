"""What a SchedulingPolicy does at the moment, as users read it in its status.

``plugins`` count the domains, ``live`` and ``reconcile`` the pods; ``handlers`` write it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from stowplan.api.base import ApiModel, Bool, Int, ListMap
from stowplan.api.common import Condition


class PodCounts(ApiModel):
    """The pods of a policy, counted."""

    model_config = ConfigDict(extra="ignore")

    governed: Int = 0
    """Pods that the policy governs now."""
    bound: Int = 0
    """Those of them that have a node."""
    pending: Int = 0
    """Those of them that wait for one."""


class DomainStatus(ApiModel):
    """How one group of pods lies over the domains of one rule."""

    model_config = ConfigDict(extra="ignore")

    rule: str
    """The name of the rule."""
    group: str = ""
    """The values of the rule's groupBy labels, joined by a comma; empty where the rule has none."""
    domain: str
    """The failure domain that the rule is about."""
    within: str | None = None
    """The domain inside which was counted, where the rule has within."""
    counts: dict[str, Int] = Field(default_factory=dict)
    """Pods in each domain; of a separate or colocate rule, which is listed only while pods break it, in the domains
    where they do."""
    skew: Int = 0
    """The difference between the fullest and the emptiest domain; 0 where the rule is no spread rule."""
    violated: Bool = False
    """Whether the pods that run now break the rule."""


class GangStatus(ApiModel):
    """A gang of which members wait for a node."""

    model_config = ConfigDict(extra="ignore")

    name: str
    """The values of the labels that gangs go by, after the name of the StatefulCluster where there is one."""
    min_member: Int
    """As in spec.gang."""
    waiting: Int = 0
    """Members that wait for a node, those with scheduling gates left out."""
    bound: Int = 0
    """Members on nodes."""
    message: str = ""
    """What they wait for, as one of them says in its condition PodScheduled."""


class Shadow(ApiModel):
    """What a policy in mode DryRun would have done on the live stream of pods.

    Counts the pods that it selects and that were bound, each judged when its node was chosen, beside the others where
    they really are. The count begins anew when the spec changes or another replica leads. Joint placements, which would
    be looked for where the members of a gang do not fit one after the other, are not tried.
    """

    model_config = ConfigDict(extra="ignore")

    decisions: Int = 0
    """Pods judged. Of several policies in mode DryRun that select a pod, the one that would go first judges it."""
    different: Int = 0
    """Those of them that would have fared otherwise: their node is rejected, another one is better, or others would
    have had to leave first."""
    better: Int = 0
    """Those of different whose node is allowed: by the scores of the policy another one is better."""
    evicting: Int = 0
    """Those of different that would have found no node before pods of a lower priority had been evicted."""
    impossible: Int = 0
    """Those of decisions that would have found no node at all, or whose gang would not have found enough of them."""
    incomplete: Int = 0
    """Those of decisions that would still wait: fewer members of their gang than minMember exist. In no other count."""
    unblocked: Int = 0
    """Pods that wait for a node now and would have one, each judged by itself when one of its kind was tried last."""


class PolicySummary(ApiModel):
    """Texts for the columns of kubectl get."""

    model_config = ConfigDict(extra="ignore")

    pods: str = ""
    """Bound and governed pods, such as 8/9."""
    reason: str = ""
    """The reason of the first condition that is not as it should be; empty where all is well."""


class SchedulingPolicyStatus(ApiModel):
    """What the policy does at the moment."""

    model_config = ConfigDict(extra="ignore")

    observed_generation: Int = 0
    """The metadata.generation that this status is about."""
    pods: PodCounts = PodCounts()
    """The policy's pods."""
    domains: tuple[DomainStatus, ...] = ()
    """Where they are, by rule and group."""
    violations: Int = 0
    """How many entries of domains are violated."""
    gangs: tuple[GangStatus, ...] = ()
    """The gangs of which members wait, 64 of them at most; one that is placed whole is not listed."""
    shadow: Shadow = Shadow()
    """In mode DryRun: what the policy would have done."""
    conditions: Annotated[tuple[Condition, ...], ListMap("type", max_items=16)] = ()
    """Accepted, Satisfied, Conflicted, and Ready (Accepted and not Conflicted)."""
    summary: PolicySummary = PolicySummary()
    """Texts for the columns of kubectl get."""
