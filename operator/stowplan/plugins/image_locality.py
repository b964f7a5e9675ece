"""Images that are there already. Source: kubernetes v1.36.3 ``plugins/imagelocality/image_locality.go``."""

from __future__ import annotations

import numpy as np

from stowplan.framework.plugin import MAX_SCORE, CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo

_MIB = 1024 * 1024
_LEAST = 23 * _MIB
_MOST_PER_CONTAINER = 1000 * _MIB


Images = tuple[tuple[str, ...], tuple[str, ...]]


class ImageLocality:
    """Prefer nodes that have the pod's images, by their size and by how many nodes have them."""

    name = "ImageLocality"

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """0 for up to 23 MiB, 100 for 1000 MiB a container; nothing to say where that gives 0 everywhere."""
        cls = pod.cls
        memory: dict[Images, tuple[int, Scores | None]] = nodes.once(self, dict)
        images = (cls.images, cls.volume_images)
        version, scores = memory.get(images, (-1, None))
        if version != nodes.images_version:
            scores = _scores(cls, nodes)
            memory[images] = (nodes.images_version, scores)
        return None if scores is None else scores[rows]


def _scores(cls: PodClass, nodes: Snapshot) -> Scores | None:
    total: Scores = np.zeros(len(nodes), dtype=np.int64)
    for image in (*cls.images, *cls.volume_images):
        sizes = nodes.image(_with_tag(image))
        there = sizes >= 0
        spread = np.count_nonzero(there) / len(nodes)
        total += np.where(there, sizes * spread, 0).astype(np.int64)
    most = _MOST_PER_CONTAINER * len(cls.images)
    scores = MAX_SCORE * (np.clip(total, _LEAST, most) - _LEAST) // (most - _LEAST)
    return scores if scores.any() else None


def _with_tag(image: str) -> str:
    """The name under which nodes report it: the tag ``latest`` is understood."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
