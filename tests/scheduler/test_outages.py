"""Whoever has to act when a domain goes or comes back is told at once, and told whom it concerns."""

from __future__ import annotations

from tests.builders import ZONE, node, pod

from stowplan import profiles
from stowplan.api.policy import SchedulingPolicy
from stowplan.live.board import PolicyBoard
from stowplan.live.world import BoardWorld
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.queue import SchedulingQueue


def policy(name: str, app: str, action: str) -> SchedulingPolicy:
    down = {"action": action, "after": "1s"} if action == "Relax" else {"action": action}
    spread = {"name": "zones", "domain": "zone", "maxSkew": 1, "whenDomainDown": down}
    spec = {
        "selector": {"matchLabels": {"app": app}},
        "failureDomains": [{"name": "zone", "topologyKey": ZONE}],
        "spread": [spread],
    }
    return SchedulingPolicy.model_validate({"metadata": {"name": name, "namespace": "default"}, "spec": spec})


def test_the_clusters_of_a_policy_hear_of_a_domain_that_goes_and_comes_back() -> None:
    now = 0.0
    told: list[set[str]] = []
    cache = ClusterCache()
    board = PolicyBoard(cache, SchedulingQueue(cache.snapshot), profiles.PluginArgs(), clock=lambda: now)
    board.on_outage = told.append
    board.apply([policy("ha", "db", "Relax"), policy("patient", "queue", "Wait")], [])
    for zone in "abc":
        cache.put_node(node(f"n-{zone}", zone=zone))
    for app in ("db", "queue"):
        cache.put_pod(pod(app, on="n-a", labels={"app": app, "stowplan.dev/cluster": f"the-{app}"}))

    def looks(later: float) -> list[set[str]]:
        nonlocal now
        now += later
        told.clear()
        board.look()
        return list(told)

    assert looks(1) == []
    cache.put_node(node("n-c", zone="c", taints=["down:NoExecute"]))
    assert looks(0.5) == []
    assert looks(2) == [{"default/ha"}]
    assert looks(2) == []
    cache.put_node(node("n-c", zone="c"))
    assert looks(0.5) == [{"default/ha"}]
    assert BoardWorld(board).clusters_of(told[0]) == {"default/the-db"}
