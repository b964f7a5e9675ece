"""What a filter has against a node whoever leaves it: it says so before anybody has left, and still says it then."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import ZONE, claim, node, pod, selector, snapshot, storage_class, term, volume

from stowplan.framework.plugin import CycleState, Filter, PreFilter
from stowplan.framework.postfilter import Lasting
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.trial import Trial
from stowplan.model.pods import PodInfo
from stowplan.plugins.inter_pod_affinity import InterPodAffinity, InterPodAffinityArgs
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.plugins.volume_binding import VolumeBinding
from stowplan.plugins.volume_restrictions import VolumeRestrictions
from stowplan.plugins.volume_zone import VolumeZone

DB, WEB = {"app": "db"}, {"app": "web"}


def cluster() -> Snapshot:
    """A node in each of three zones; a volume in the first, a claim in use on the second."""
    nodes = snapshot([node(f"n{zone}", zone=zone) for zone in "abc"], [])
    for item in (
        storage_class(), claim("data", volume="v"), volume("v", claimed_by="default/data", labels={ZONE: "a"}),
        claim("mine", modes=["ReadWriteOncePod"]), claim("new", storage_class="none"), storage_class("none",
        provisioner="kubernetes.io/no-provisioner"),
    ):  # fmt: skip
        nodes.volumes.put(item)
    nodes.add_pod(pod("user", on="nb", claims=["mine"], labels=DB))
    nodes.add_pod(pod("other", on="nc"))
    return nodes


@pytest.mark.parametrize(
    ("plugin", "wants", "rejected"),
    [
        pytest.param(VolumeZone(), {"claims": ["data"]}, ["nb", "nc"], id="a zone"),
        pytest.param(VolumeBinding(VolumeBindingArgs()), {"claims": ["new"]}, ["na", "nb", "nc"], id="no volume"),
        pytest.param(VolumeRestrictions(), {"claims": ["mine"]}, ["na", "nc"], id="a claim that is in use elsewhere"),
        pytest.param(VolumeRestrictions(), {"claims": ["data"]}, [], id="a claim that many may use"),
        pytest.param(InterPodAffinity(InterPodAffinityArgs()), {"affinity": [term(ZONE, selector(WEB))]},
                     ["na", "nb", "nc"], id="nobody to be near to"),
        pytest.param(InterPodAffinity(InterPodAffinityArgs()),
                     {"affinity": [term(ZONE, selector(DB))], "labels": DB}, [], id="it may be the first one then"),
    ],
)  # fmt: skip
def test_it_lasts(plugin: Filter, wants: dict[str, Any], rejected: list[str]) -> None:
    nodes, new = cluster(), pod("new", priority=5, **wants)
    assert isinstance(plugin, Lasting)
    said = {nodes.name(row) for reject in plugin.lasting(new, nodes) for row in reject.mask.nonzero()[0].tolist()}
    assert sorted(said) == rejected
    for name in rejected:
        row = nodes.row_of[name]
        with Trial(nodes) as trial:
            for each in list(nodes.on_node[row].values()):
                trial.take(each)
            assert row in against(plugin, new, nodes)


def against(plugin: Filter, new: PodInfo, nodes: Snapshot) -> set[int]:
    state = CycleState()
    assert isinstance(plugin, PreFilter)
    assert plugin.pre_filter(new, nodes, state) is None
    return {row for reject in plugin.filter(new, nodes, state) for row in reject.mask.nonzero()[0].tolist()}
