"""What pods in flight have taken of the storage, until the API shows it: kept by ``framework.volumes``.

Source of the idea: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/volumebinding/passive_assume_cache.go``.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True)
class Assumption:
    """What is held for an unbound claim of one or more pods in flight.

    Attributes:
        claim_uid: the claim that it is held for; another claim of the same name has no part in it.
        node: the node selected for the claim.
        volume: the existing volume that it gets, or "" where one is to be provisioned on the node.
        pods: uids of the pods in flight that rely on it.
    """

    claim_uid: str
    node: str
    volume: str
    pods: set[str]


class InFlight:
    """Assumptions, found by claim, by volume and by pod.

    Attributes:
        claims: by claim key.
        volumes: name of a volume that is held to the key of the claim that it is held for.
    """

    def __init__(self) -> None:
        self.claims: dict[str, Assumption] = {}
        self.volumes: dict[str, str] = {}
        self._pods: dict[str, set[str]] = {}

    def hold(self, key: str, assumption: Assumption) -> None:
        """Holds something for a claim that nothing is held for yet."""
        self.claims[key] = assumption
        if assumption.volume:
            self.volumes[assumption.volume] = key
        for pod in assumption.pods:
            self._pods.setdefault(pod, set()).add(key)

    def join(self, key: str, pod: str) -> None:
        """Another pod relies on what is held for a claim."""
        self.claims[key].pods.add(pod)
        self._pods.setdefault(pod, set()).add(key)

    def leave(self, pod: str) -> list[str]:
        """A pod is in flight no more; the keys of the claims that nobody relies on now, yet to be released."""
        left = []
        for key in self._pods.pop(pod, ()):
            pods = self.claims[key].pods
            pods.discard(pod)
            if not pods:
                left.append(key)
        return sorted(left)

    def release(self, key: str) -> Assumption:
        """Holds nothing for a claim any more; returns what was held."""
        held = self.claims.pop(key)
        if held.volume:
            del self.volumes[held.volume]
        for pod in held.pods:
            keys = self._pods[pod]
            keys.discard(key)
            if not keys:
                del self._pods[pod]
        return held

    def fork(self) -> InFlight:
        """A copy."""
        twin = InFlight()
        twin.claims = {key: dataclasses.replace(held, pods=set(held.pods)) for key, held in self.claims.items()}
        twin.volumes = dict(self.volumes)
        twin._pods = {pod: set(keys) for pod, keys in self._pods.items()}
        return twin
