"""For filters that, as kube-scheduler's do, stop at the first thing that is wrong with a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stowplan.framework.status import Mask, Reject


def first_only(rejects: Iterable[Reject]) -> Iterator[Reject]:
    """The same rejects, each without the nodes of those before it: one reason for each node."""
    seen: Mask | None = None
    for reject in rejects:
        if seen is None:
            seen = reject.mask
            yield reject
        else:
            fresh = reject.mask & ~seen
            seen = seen | reject.mask
            yield Reject(fresh, reject.reason, reject.resolution)
