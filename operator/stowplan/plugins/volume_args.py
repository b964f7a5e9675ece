"""What VolumeBinding can be told: by the configuration file and by a SchedulingPolicy's ``storage``."""

from __future__ import annotations

import dataclasses

from stowplan.plugins.args import ShapePoint


@dataclasses.dataclass(frozen=True, slots=True)
class LocalCapacity:
    """Where nodes publish the free bytes that volumes of a StorageClass come out of.

    Several classes may name the same annotation: then they share that space.
    """

    storage_class: str
    annotation: str


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeBindingArgs:
    """For VolumeBinding.

    Attributes:
        require_capacity: all volumes that are to be made for a pod on a node must fit there together, beside what is
            promised to pods in flight. False: kube-scheduler's own rule, each claim by itself against what the
            driver has published.
        local_capacity: capacity that nodes publish in annotations; looked at with ``require_capacity`` alone.
        shape: score nodes by how full their storage would be (kube-scheduler's alpha StorageCapacityScoring), by
            rising utilization; empty for no score.
    """

    require_capacity: bool = True
    local_capacity: tuple[LocalCapacity, ...] = ()
    shape: tuple[ShapePoint, ...] = ()
