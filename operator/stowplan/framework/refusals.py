"""Nodes on which a driver could not make the volume of a claim: remembered for a while, so that the pod goes elsewhere.

Kept by ``framework.volumes``, told by ``live.prebind``, read by the VolumeBinding plugin and let go by
``scheduler.queue`` when the time is over. kube-scheduler has no such memory: it chooses anew among the same nodes, and
a node that is liked best but refuses is chosen again and again. Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Collection

FIRST = 5.0
"""Seconds for which the first refusal of a claim keeps it from the node; doubles with each further one, on any node."""
LONGEST = 300.0


class Refusals:
    """By claim, the nodes that it is kept from."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, float]] = {}
        self._uids: dict[str, str] = {}
        self._times: dict[str, int] = {}

    def nodes(self, claim: str) -> Collection[str]:
        """The names of the nodes that a claim (its key) is kept from."""
        return self._nodes.get(claim, ())

    def refuse(self, claim: str, uid: str, node: str, now: float) -> None:
        """A driver could not make a volume for the claim on the node."""
        if self._uids.get(claim, uid) != uid:
            self.forget(claim)
        if node in self._nodes.get(claim, ()):
            return  # several pods of one claim say the same
        times = self._times[claim] = self._times.get(claim, 0) + 1
        self._uids[claim] = uid
        self._nodes.setdefault(claim, {})[node] = now + min(FIRST * 2.0 ** min(times - 1, 30), LONGEST)

    def due(self) -> float | None:
        """When the next refusal is over, or None."""
        return min((until for nodes in self._nodes.values() for until in nodes.values()), default=None)

    def expire(self, now: float) -> list[str]:
        """Lets go of what is over; the keys of the claims that may be tried on a node again."""
        over = []
        for claim, nodes in list(self._nodes.items()):
            left = {node: until for node, until in nodes.items() if until > now}
            if len(left) < len(nodes):
                over.append(claim)
                if left:
                    self._nodes[claim] = left
                else:
                    del self._nodes[claim]
        return over

    def seen(self, claim: str, uid: str, *, bound: bool) -> None:
        """The claim as the API server shows it: one that has a volume, or is another one by now, starts afresh."""
        if claim in self._uids and (bound or self._uids[claim] != uid):
            self.forget(claim)

    def forget(self, claim: str) -> None:
        """Keeps the claim from no node; fine where it is not kept from any."""
        for each in (self._nodes, self._uids, self._times):
            each.pop(claim, None)
