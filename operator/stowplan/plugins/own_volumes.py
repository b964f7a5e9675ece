"""Where a pod's volumes are already: spread rules give way to them.

Called by ``policy_spread``. A member whose volume was made while a zone was out, or before the rule was, has nowhere
else to go. Keeping it from there would not bring the balance back, it would only take the member away (as
kubernetes issue 128832 has it with DoNotSchedule). So where the rules together reject every node that the pod's bound
volumes can be used on, they are a violation that the policy's status counts, and not a reason to wait. Rules of other
kinds never give way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask, Reject
from stowplan.model.pods import PodInfo
from stowplan.plugins import volume_masks


def held(pod: PodInfo, nodes: Snapshot) -> Mask | None:
    """bool[node]: where the pod's bound volumes can be used, all of them; None where it has none that are tied."""
    found: Mask | None = None
    for name in pod.claims:
        claim = nodes.volumes.claim(f"{pod.namespace}/{name}")
        volume = nodes.volumes.volume(claim.volume) if claim is not None and claim.bound else None
        if volume is not None and not volume.anywhere:
            here = ~volume_masks.unreachable(volume.topology, nodes)
            found = here if found is None else found & here
    return found


def give_way(rejects: Sequence[Reject], pod: PodInfo, nodes: Snapshot) -> Sequence[Reject]:
    """The rejects, or none of them where they would leave no node that the pod's volumes are on."""
    if not rejects or not pod.claims:
        return rejects
    here = held(pod, nodes)
    if here is None or (here & ~np.logical_or.reduce([each.mask for each in rejects])).any():
        return rejects
    return ()
