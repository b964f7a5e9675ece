"""What if: pods leave or join the nodes for a moment, the filters judge, and all is as it was.

Preemption and nominated pods ask that for a few pods at a time. A trial changes the snapshot itself and puts it back in
the end, which costs as much as the pods that it moves; a fork costs as much as the cluster, and starts without anything
that is kept between decisions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self

from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodInfo

_ALONE = contextlib.nullcontext()


def beside(guests: Collection[PodInfo], nodes: Snapshot) -> contextlib.AbstractContextManager[None]:
    """Counts some pods on their nodes as long as it lasts."""
    return _beside(guests, nodes) if guests else _ALONE  # nearly always: this is part of every decision


@contextlib.contextmanager
def _beside(guests: Collection[PodInfo], nodes: Snapshot) -> Iterator[None]:
    with Trial(nodes) as trial:
        for each in guests:
            trial.add(each)
        yield


class Trial:
    """A context manager; when it ends, by an exception or not, every pod is back where it was.

    Args:
        nodes: is changed meanwhile. Nothing else may change it before the end.
    """

    def __init__(self, nodes: Snapshot) -> None:
        self._nodes = nodes
        self._taken: dict[str, PodInfo] = {}
        self._added: dict[str, PodInfo] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for uid in self._added:
            self._nodes.remove_pod(uid)
        for pod in self._taken.values():
            self._nodes.add_pod(pod)

    def take(self, pod: PodInfo) -> None:
        """Takes a pod off its node."""
        self._nodes.remove_pod(pod.uid)
        self._taken[pod.uid] = pod

    def give_back(self, pod: PodInfo) -> None:
        """Puts a pod back that was taken."""
        del self._taken[pod.uid]
        self._nodes.add_pod(pod)

    def add(self, pod: PodInfo) -> None:
        """Puts a pod on ``pod.node_name`` that was on no node."""
        self._nodes.add_pod(pod)
        self._added[pod.uid] = pod
