from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.parity import kube_scheduler, run, world
from tests.parity.compare import compare
from tests.parity.kube_scheduler import Oracle

from stowplan.framework.status import Mask
from stowplan.model.pods import PodClass

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # the oracle is built on first use


@pytest.fixture(scope="module")
def program() -> Path:
    return kube_scheduler.program()


@pytest.fixture(scope="module")
def kubernetes(program: Path) -> Iterator[Oracle]:
    with Oracle(program) as running:
        yield running


def test_stowplan_decides_as_kube_scheduler_does(program: Path) -> None:
    *_, total = run.totals(program, pods=5000, seed="test", features=world.FEATURES, workers=2)
    assert not total.failures
    assert not total.invalid
    assert total.pods >= 5000
    assert set(total.rows) == set(world.FEATURES)
    assert min(row.pods for row in total.rows.values()) > 200


# ---------------------------------------------------------------- the comparison itself


def _no_node(*said: object, **more: object) -> Mask | None:
    del more
    nodes = next(each for each in said if hasattr(each, "row_of"))
    return np.zeros(len(nodes), dtype=np.bool_)  # type: ignore[arg-type]


def _never(*said: object, **more: object) -> None:
    del said, more


def _nobody(self: object, cls: PodClass, nodes: object) -> bool:
    del self, cls, nodes
    return False


@pytest.mark.parametrize(
    ("rule", "broken", "features", "kind"),
    [
        pytest.param("model.tolerations.any_tolerates", lambda *_: True, "taints", "feasible", id="taints"),
        pytest.param("model.pods.FINISHED", frozenset(), "lifecycle", "feasible", id="finished pods"),
        pytest.param("model.requests.is_scalar", lambda _: False, "resources", "feasible", id="extended resources"),
        pytest.param("plugins.image_locality._LEAST", 0, "images", "score of ImageLocality", id="image size"),
        pytest.param("plugins.node_ports._ANY", "no address", "ports", "feasible", id="host addresses"),
        pytest.param("plugins.inclusion.included", _never, "spread,taints", "feasible", id="node inclusion policies"),
        pytest.param("plugins.pod_topology_spread.NO_LABEL", "no label", "spread", "message", id="a wording"),
        pytest.param("plugins.predicates.SpreadsWith.matches", _nobody, "spread", "feasible", id="pods of a spread"),
        pytest.param(
            "framework.workloads.Workloads.put",
            _never,
            "workloads",
            "score of PodTopologySpread",
            id="who belongs together",
        ),
        pytest.param(
            "framework.workloads.Workloads._note",
            _never,
            "workloads",
            "score of PodTopologySpread",
            id="memory, of Services",
        ),
        pytest.param(
            "plugins.spread_defaults.SpreadDefaults.lenient",
            property(lambda _: False),
            "workloads",
            "score of PodTopologySpread",
            id="no zone",
        ),
        pytest.param("plugins.inter_pod_affinity.meant_by", lambda *_: False, "podaffinity", "feasible", id="symmetry"),
        pytest.param(
            "model.pods._features", lambda _: [], "nodeaffinity", "feasible", id="features that nodes declare"
        ),
        pytest.param("plugins.volume_zone._elsewhere", _no_node, "volumes", "feasible", id="zones of volumes"),
        pytest.param("plugins.volume_masks.unreachable", _no_node, "volumes", "feasible", id="reach of volumes"),
        pytest.param("plugins.volume_masks.not_allowed", _no_node, "volumes", "feasible", id="allowed topologies"),
        pytest.param("plugins.node_volume_limits._over", _never, "limits", "feasible", id="volume limits"),
        pytest.param("framework.pools.UNKNOWN", 1, "capacity", "capacity", id="capacity of pools"),
        pytest.param("framework.snapshot.Snapshot.invalidate", _never, "spread", "feasible", id="memory, of nodes"),
        pytest.param("framework.nodes.NodeTable._touch", _never, "resources", "feasible", id="memory, of requests"),
        pytest.param("framework.counters.PodCounter.add", _never, "podaffinity", "feasible", id="counts"),
        pytest.param("framework.pools.PoolTable.charge", _never, "capacity", "capacity", id="promised capacity"),
        pytest.param(
            "plugins.preemption_search.importance", lambda pod: pod.key, "preemption", "victims", id="who may stay"
        ),
        pytest.param(
            "plugins.budgets.Budgets.split", lambda _, pods: ([], list(pods)), "preemption", "victims", id="budgets"
        ),
        pytest.param(
            "plugins.preemption_search.Candidate.cost",
            property(lambda self: (-len(self.victims), self.row)),
            "preemption",
            "chosen",
            id="which node is made free",
        ),
        pytest.param(
            "framework.priorities.Priorities.below",
            lambda *_: iter(()),
            "preemption",
            "preemption message",
            id="who is less important",
        ),
        pytest.param(
            "plugins.preemption_search.NO_VICTIMS", "nobody", "preemption", "preemption message", id="its wording"
        ),
    ],
)
def test_a_rule_that_is_broken_is_noticed(
    kubernetes: Oracle,
    monkeypatch: pytest.MonkeyPatch,
    *,
    rule: str,
    broken: object,
    features: str,
    kind: str,
) -> None:
    monkeypatch.setattr(f"stowplan.{rule}", broken)
    for number in range(300):
        seed, of = f"mutant-{number}", features.split(",")
        items, _ = world.state(seed, of)
        found = compare(kubernetes, items, before=world.earlier(items, seed, of)).differences
        if any(each.kind == kind for differences in found.values() for each in differences):
            return
    pytest.fail("nobody noticed")
