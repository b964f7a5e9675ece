"""Makes room for pods that fit nowhere: asks the PostFilter plugins, and promises nodes.

Part of ``scheduler.cycle``. A promise counts from the moment of the decision (``framework.nominations``); ``live``
writes it down and evicts the victims, and says when it has done so (:meth:`Promises.carried_out`). Until then the pod
is not given another node, and nobody else has to go for it.

Source: kubernetes v1.36.3 ``pkg/scheduler/schedule_one.go`` (``handleSchedulingFailure``) and
``pkg/scheduler/framework/preemption/executor.go`` (``prepareCandidateAsync``, ``IsPodRunningPreemption``).
"""

from __future__ import annotations

import copy
import dataclasses

from stowplan.framework.postfilter import Nomination
from stowplan.framework.rescue import Rescue
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis
from stowplan.framework.trial import beside
from stowplan.model.pods import PodInfo

_HIGHEST = 2**31
"""More than any pod has."""
UNDER_WAY = "preemption: waiting for the preemption for this pod to be finished"


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """What is to be done for a pod that fits nowhere.

    Attributes:
        node: the node that is promised to it, or "" where the promise of another one is taken back.
        victims: the pods that have to leave it.
        displaced: the pods of a lower priority that it was promised to, and no longer is.
    """

    node: str
    victims: tuple[PodInfo, ...]
    displaced: tuple[PodInfo, ...]


class Promises:
    """The pods for which others are being evicted.

    Args:
        nodes: the cluster.
    """

    def __init__(self, nodes: Snapshot) -> None:
        self._nodes = nodes
        self._under_way: set[str] = set()
        self._tries = 0

    def seek(self, pod: PodInfo, framework: Framework, failure: Diagnosis) -> Promise | None:
        """What can be done for a pod that fits nowhere; where nothing can, the diagnosis says why.

        Returns:
            What is to be written; None for nothing.
        """
        if failure.failed or not len(self._nodes):
            return None
        if pod.uid in self._under_way:
            failure.after = UNDER_WAY
            return None
        self._tries += 1
        with beside(tuple(map(_settled, self._nodes.homes.beside(pod))), self._nodes):
            answer = Rescue(framework).post_filter(pod, self._nodes, failure, self._tries)
        nominations = self._nodes.nominations
        if isinstance(answer, Nomination):
            failure.after = ""
            nominations.nominate(pod, answer.node)
            displaced = tuple(nominations.lower(pod.priority, answer.node))
            for each in displaced:
                nominations.nominate(each, "")
            self._under_way.add(pod.uid)
            return Promise(answer.node, answer.victims, displaced)
        failure.after, failure.beyond = answer.reason, answer.because_of
        if answer.waits or not nominations.node_of(pod.uid):
            return None
        nominations.nominate(pod, "")
        return Promise("", (), ())

    def in_vain(self, pod: PodInfo, framework: Framework, failure: Diagnosis) -> bool:
        """Whether ``seek`` is certain to change nothing, as far as that is told without a search.

        The diagnosis says why then, as it would after ``seek``.
        """
        if failure.failed:
            return False
        if not len(self._nodes):
            return True
        if pod.uid in self._under_way:
            failure.after = UNDER_WAY
            return True
        with beside(tuple(map(_settled, self._nodes.homes.beside(pod))), self._nodes):
            answer = Rescue(framework).gives_up(pod, self._nodes, failure)
        if answer is None or (self._nodes.nominations.node_of(pod.uid) and not answer.waits):
            return False
        failure.after, failure.beyond = answer.reason, answer.because_of
        return True

    def carried_out(self, uid: str) -> None:
        """The victims have been asked to leave, or that has failed."""
        self._under_way.discard(uid)


def _settled(guest: PodInfo) -> PodInfo:
    """An absent member that a node is kept for, as one that is there and cannot be evicted."""
    found = copy.copy(guest)
    found.priority = _HIGHEST
    return found
