"""What can help the pods that fit nowhere: the hints of the plugins that rejected them, put together.

``framework.runtime`` keeps a remedy for each set of plugins that has rejected a pod, and ``scheduler.queue`` lets the
pods that wait for the same remedy, and are alike in what its plugins look at, wait together: an event is judged once
for all of them, and one of them is tried for all of them.

That is sound because a diagnosis names, for every node, a plugin that rejects it. As long as none of these plugins
changes its mind about any node, the pod fits nowhere, whatever the others say; and a pod that looks the same to these
plugins fits nowhere either.

Source of the idea: kubernetes v1.36.3 ``pkg/scheduler/backend/queue/scheduling_queue.go``
(``isPodWorthRequeuing``), which asks for each pod by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Protocol, cast

from stowplan.framework import plugin as plugin_api
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import Alike, AlikeNow, Hinting, Plugin
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodInfo

_FURTHER = frozenset({ClusterEvent.NODE_REMOVED, ClusterEvent.NODE_LABELS})
"""What is about one node, and changes what others share with it: domains, and pools of storage."""

Hint = Callable[[PodInfo, Happening, Snapshot], bool]


class Remedy(Protocol):
    """What a pod waits for."""

    @property
    def kinds(self) -> frozenset[ClusterEvent]:
        """The kinds of events that may help."""

    def key(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """Equal for pods that the same events help."""

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        """Whether an event of one of the ``kinds`` may help the pod; False is certain.

        Args:
            pod: waits.
            event: may help.
            nodes: the cluster as it is now.
            barred_by: the plugin that bars the pod from the event's node, as was last found: whatever those say that
                judge a node by itself, it does not help before that one says so, too.
        """

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether such an event, if it helps the pod, does so by making its own node acceptable and no other."""


class PluginRemedy:
    """The remedy of pods that some plugins rejected together.

    A change of the policies (``POLICY``) is not asked about: it may swap the plugins, so it wakes everybody.

    Args:
        plugins: those that rejected at least one node, or the pod as a whole; none where there was no node to reject.

    Attributes:
        names: theirs.
    """

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        plugins = tuple(plugins)
        self.names = frozenset(each.name for each in plugins)
        self._hints: dict[ClusterEvent, tuple[tuple[str, Hint], ...]] = {
            kind: tuple((plugin_api.only_here(each), _hint(each)) for each in plugins
                        if kind in plugin_api.requeue_on(each))
            for kind in ClusterEvent
        }  # fmt: skip
        self._alike = tuple(map(_likeness, plugins))
        if not plugins:
            self._hints[ClusterEvent.NODE_ADDED] = (("", _always),)
        self.kinds = frozenset(kind for kind, hints in self._hints.items() if hints) | {ClusterEvent.POLICY}

    def key(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """What the plugins look at, and the priority: nominated pods of a higher one count for those of a lower."""
        alike = tuple([each(pod, nodes) for each in self._alike])
        return (pod.priority, pod.preemption_policy, alike)

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        """Whether any of the plugins says so; a hint that raises says yes."""
        for here, hint in self._hints[event.kind]:
            if barred_by and here and here != barred_by:
                continue
            try:
                if hint(pod, event, nodes):
                    return True
            except Exception:  # noqa: BLE001 - a defective hint must neither stop the watch nor let the pod sleep
                return True
        return False

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether none of the plugins that look at several nodes, or at what these share, says that it may help."""
        if not event.node or event.kind in _FURTHER:
            return False
        try:
            return not any(hint(pod, event, nodes) for here, hint in self._hints[event.kind] if not here)
        except Exception:  # noqa: BLE001 - as above
            return False


class Anything:
    """The remedy of pods for which a plugin failed: nobody can say what would help, so everything may."""

    kinds = frozenset(ClusterEvent)

    def key(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """What a plugin most likely failed for; whoever sleeps behind another pod in vain has its turn after it."""
        return (pod.cls, tuple(sorted(pod.annotations.items())))

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        """Always."""
        return True

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Nobody can say."""
        return False


class UntilItWorks:
    """The remedy of pods that are held up by a plugin that is cut off: nothing helps before it is tried again.

    Args:
        cut_off: whether it still is.
    """

    kinds = frozenset(ClusterEvent)

    def __init__(self, cut_off: Callable[[], bool]) -> None:
        self._cut_off = cut_off

    def key(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """They wait together: the plugin was not asked about any of them."""
        return ""

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        """Whether it would be asked about the pod now."""
        return not self._cut_off()

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Nobody can say."""
        return False


def _hint(plugin: Plugin) -> Hint:
    return plugin.may_help if isinstance(plugin, Hinting) else _always


def _likeness(plugin: Plugin) -> Callable[[PodInfo, Snapshot], Hashable]:
    def alike(pod: PodInfo, nodes: Snapshot) -> Hashable:
        try:
            found = cast("AlikeNow", plugin).alike_now(pod, nodes) if now else cast("Alike", plugin).alike(pod)
            hash(found)
        except Exception:  # noqa: BLE001 - a pod that cannot be compared is like no other
            return pod.uid
        return found

    now = isinstance(plugin, AlikeNow)
    return alike if now or isinstance(plugin, Alike) else _itself


def _always(pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:  # noqa: ARG001 - whatever it is
    return True


def _itself(pod: PodInfo, nodes: Snapshot) -> Hashable:  # noqa: ARG001 - whatever it is
    return pod.uid
