"""The pods that sleep, by claim: whom an event about one claim concerns among thousands that have a claim each.

Part of ``scheduler.queue``. Pods whose claims look the same sleep together (``framework.plugin.AlikeNow``), and one
speaks for all of them; what happens to a claim of one of them is between the event and this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from stowplan.framework.events import Happening
from stowplan.framework.snapshot import Snapshot
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler.queued import QueuedPodInfo


class ByClaim:
    """Pods by the keys (``namespace/name``) of their claims."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, QueuedPodInfo]] = {}
        self._keys: dict[str, list[str]] = {}

    def add(self, queued: QueuedPodInfo) -> None:
        """A pod sleeps."""
        if queued.pod.claims:
            keys = self._keys[queued.pod.uid] = _keys(queued.pod)
            for key in keys:
                self._pods.setdefault(key, {})[queued.pod.uid] = queued

    def remove(self, uid: str) -> None:
        """It does not any more; fine for one without claims."""
        for key in self._keys.pop(uid, ()):
            pods = self._pods[key]
            del pods[uid]
            if not pods:
                del self._pods[key]

    def pods(self, key: str) -> list[QueuedPodInfo]:
        """Those that have a claim."""
        return list(self._pods.get(key, {}).values())

    def of(self, event: Happening, nodes: Snapshot) -> Iterable[str]:
        """The claims that an event is about: by themselves, by a volume, or by a pod that uses them."""
        if not self._pods:
            return ()
        found: dict[str, None] = {}
        for subject in (event.old, event.new):
            match subject:
                case PodInfo():
                    found.update(dict.fromkeys(_keys(subject)))
                case objects.PersistentVolumeClaim():
                    found[subject.key] = None
                case objects.PersistentVolume():
                    reference = subject.spec.claim_ref
                    if reference is not None:
                        found[f"{reference.namespace}/{reference.name}"] = None
                    found.update(dict.fromkeys(nodes.volumes.claims_of(subject.metadata.name)))
        return found


def _keys(pod: PodInfo) -> list[str]:
    return [f"{pod.namespace}/{name}" for name in pod.claims]
