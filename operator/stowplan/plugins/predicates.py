"""Which pods a rule counts: values that ``Snapshot.counter`` takes, hashable by what they say.

Used by the plugins about where other pods are. Two rules that say the same share one counter.
"""

from __future__ import annotations

import dataclasses
import enum

from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import AffinityTerm, PodClass, WeightedTerm
from stowplan.model.selectors import Selector


@dataclasses.dataclass(frozen=True, slots=True)
class SpreadsWith:
    """The pods that a topology spread constraint counts: of one namespace, selected, not being deleted.

    A selector without any requirement counts nobody, although every pod matches it. Source: kubernetes v1.36.3
    ``pkg/scheduler/framework/plugins/podtopologyspread/common.go`` (``countPodsMatchSelector``).
    """

    namespace: str
    selector: Selector

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of this class count."""
        return (
            cls.namespace == self.namespace
            and not cls.terminating
            and bool(self.selector.requirements)
            and self.selector.matches(cls.labels)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class MeetsAll:
    """The running pods that the incoming pod's affinity terms are about: those that match every one of them."""

    terms: tuple[AffinityTerm, ...]

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of this class match all of the terms; never, where there is no term."""
        return bool(self.terms) and all(meets(cls, term, nodes) for term in self.terms)


def meets(cls: PodClass, term: AffinityTerm, nodes: Snapshot) -> bool:
    """Whether a running pod of this class is one that a term of the incoming pod means.

    A namespace counts by its name, or by its labels where it is known. As in kube-scheduler 1.36.3, a namespace
    selector that accepts no labels at all (an empty one, or one of NotIn and DoesNotExist alone) accepts every
    namespace: ``mergeAffinityTermNamespacesIfNotEmpty`` in ``interpodaffinity/plugin.go`` clears the selector in a
    copy of the term only, and ``Matches`` then evaluates it without labels.
    """
    if not term.selector.matches(cls.labels):
        return False
    if cls.namespace in term.namespaces or term.namespace_selector.matches({}):
        return True
    labels = nodes.namespaces.get(cls.namespace)
    return labels is not None and term.namespace_selector.matches(labels)


def meant_by(cls: PodClass, term: AffinityTerm, nodes: Snapshot) -> bool:
    """Whether an incoming pod of this class is one that a term of a running pod means.

    Source: ``AffinityTerm.Matches`` in kube-scheduler v0.36.3 ``framework/types.go``; a namespace that is not known
    has no labels.
    """
    return (
        cls.namespace in term.namespaces or term.namespace_selector.matches(nodes.namespaces.get(cls.namespace, {}))
    ) and term.selector.matches(cls.labels)


class Kind(enum.Enum):
    """The four lists of terms that a pod may have."""

    AFFINITY = "affinity"
    ANTI_AFFINITY = "anti_affinity"
    PREFERRED_AFFINITY = "preferred_affinity"
    PREFERRED_ANTI_AFFINITY = "preferred_anti_affinity"


@dataclasses.dataclass(frozen=True, slots=True)
class Carries:
    """The pods that have a term of their own at least so many times."""

    kind: Kind
    term: AffinityTerm | WeightedTerm
    times: int = 1

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of this class carry the term."""
        terms: tuple[AffinityTerm | WeightedTerm, ...]
        match self.kind:
            case Kind.AFFINITY:
                terms = cls.affinity
            case Kind.ANTI_AFFINITY:
                terms = cls.anti_affinity
            case Kind.PREFERRED_AFFINITY:
                terms = cls.preferred_affinity
            case Kind.PREFERRED_ANTI_AFFINITY:
                terms = cls.preferred_anti_affinity
        return terms.count(self.term) >= self.times
