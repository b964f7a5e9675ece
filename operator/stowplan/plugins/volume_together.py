"""The unbound claims of pods that are placed together: existing volumes, and space to make volumes from, are shared.

Used by VolumeBinding for a joint placement (``framework.joint``). What it says is exact where a node can use one pool,
or volumes of one place, and less than exact where it can use several: those are taken as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stowplan.framework.free import FreeTable
from stowplan.framework.joint import Numbers, Places, Room, Rule, Same
from stowplan.framework.reach import Reach
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.framework.storage import NO_PROVISIONER, Claim
from stowplan.plugins.volume_args import VolumeBindingArgs


class Together:
    """The claims of some pods.

    Args:
        claims: by pod, the claims that are unbound and have no node selected yet.
        nodes: the cluster.
        args: those of VolumeBinding.
    """

    def __init__(self, claims: Sequence[Sequence[Claim]], nodes: Snapshot, args: VolumeBindingArgs) -> None:
        users = Counter(claim.key for each in claims for claim in each)
        self._claims = claims
        self._own = [[claim for claim in each if users[claim.key] == 1] for each in claims]
        self._shared = {claim.key: claim for each in claims for claim in each if users[claim.key] > 1}
        self._nodes = nodes
        self._args = args
        self._classes = sorted({claim.storage_class for each in claims for claim in each})

    def volumes(self, rule: str) -> Iterator[Rule]:
        """One volume for one claim, where nothing makes new ones."""
        for name in self._classes:
            free = self._nodes.volumes.free(name)
            if free is None or self._makes(name):
                continue
            table, reach = free.table(self._nodes)
            place, component = _joined(reach, len(table.places), len(self._nodes))
            for traits in {claim.traits for each in self._own for claim in each if claim.storage_class == name}:
                wanted = [
                    [c.size or 0 for c in each if c.storage_class == name and c.traits == traits and c.selector is None]
                    for each in self._own
                ]
                fits = np.array([have.satisfies(traits) for have in table.traits], dtype=np.bool_)[table.trait_codes]
                for size in sorted({size for each in wanted for size in each}):
                    amounts = np.array([sum(asked >= size for asked in each) for each in wanted], dtype=np.int64)
                    yield Room(rule, place, _volumes(table, fits, size, component), amounts)

    def space(self, rule: str) -> Iterator[Rule]:
        """The bytes of a pool for all volumes that are to be made from it, where those are summed."""
        if not self._args.require_capacity:
            return
        local = {each.storage_class: each.annotation for each in self._args.local_capacity}
        for annotation in sorted(set(local.values())):
            left = self._nodes.annotated(annotation).copy()
            for name in (name for name, source in local.items() if source == annotation):
                for promise in self._nodes.volumes.capacity.promises.get(name, {}).values():
                    row = self._nodes.row_of.get(promise.node)
                    if row is not None:
                        left[row] -= promise.size
            amounts = self._bytes({name for name, source in local.items() if source == annotation})
            yield Room(rule, None, left, amounts)
        for name in self._classes:
            storage_class = self._nodes.volumes.classes.get(name)
            driver = None if storage_class is None else self._nodes.volumes.drivers.get(storage_class.provisioner)
            table = self._nodes.volumes.capacity.table(name, self._nodes)
            if driver is None or not driver.spec.storage_capacity or table is None:
                continue
            amounts = self._bytes({name})
            place, component = _joined(table.reach, len(table.free), len(self._nodes))
            left = np.zeros(int(component.max(initial=-1)) + 1, dtype=np.int64)
            np.add.at(left, component, np.clip(table.free, 0, int(amounts.sum())))
            yield Room(rule, place, left, amounts)

    def shared(self, rule: str) -> Iterator[Rule]:
        """A claim of several pods: where its volume is made, there they all are."""
        for key, claim in sorted(self._shared.items()):
            if self._makes(claim.storage_class) and self._nodes.volumes.free(claim.storage_class) is None:
                yield Same(rule, np.array([any(each.key == key for each in own) for own in self._claims]))

    def _makes(self, name: str) -> bool:
        storage_class = self._nodes.volumes.classes.get(name)
        return storage_class is not None and storage_class.provisioner not in ("", NO_PROVISIONER)

    def _bytes(self, names: set[str]) -> Numbers:
        """int64[pod]: what each pod's claims of these classes ask for; of a class that has volumes to give, nothing."""
        counted = {name for name in names if self._nodes.volumes.free(name) is None}
        return np.array(
            [sum(claim.size or 0 for claim in each if claim.storage_class in counted) for each in self._own],
            dtype=np.int64,
        )


def _volumes(table: FreeTable, fits: Mask, size: int, component: Places) -> Numbers:
    """int64[component]: the usable volumes of at least this size."""
    usable = table.usable & fits & (table.size >= size)
    return np.bincount(component[table.place_codes[usable]], minlength=int(component.max(initial=-1)) + 1)


def _joined(reach: Reach, size: int, nodes: int) -> tuple[Places, Places]:
    """intp[node] and intp[thing]: the component of each, where things that one node can use are joined into one.

    Args:
        reach: which things each node can use.
        size: number of things.
        nodes: number of nodes.
    """
    parent: dict[int, int] = {}

    def root(thing: int) -> int:
        while parent.get(thing, thing) != thing:
            thing = parent[thing]
        return thing

    for row in reach.crowded.tolist():
        first, *others = reach.of(row).tolist()
        for other in others:
            parent[root(other)] = root(first)
    numbers: Mapping[int, int] = {thing: at for at, thing in enumerate(dict.fromkeys(map(root, range(size))))}
    component = np.array([numbers[root(thing)] for thing in range(size)], dtype=np.intp)
    place: Places = np.full(nodes, -1, dtype=np.intp)
    place[reach.rows] = component[reach.which]
    return place, component
