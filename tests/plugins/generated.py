"""Small clusters with everything that spread and affinity look at, for hypothesis."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tests.builders import HOST, INTERNER, RACK, ZONE, node, node_term, raw_pod, selector, spread, term, toleration
from tests.plugins.scalar import Cluster

from stowplan.framework.snapshot import Snapshot
from stowplan.model import objects

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""A busy machine is no defect."""

KEYS = st.sampled_from([ZONE, RACK, HOST])
NAMESPACES = {"default": {"team": "a"}, "other": {"team": "b"}, "plain": {}}

pod_labels = st.fixed_dictionaries(
    {}, optional={"app": st.sampled_from(["db", "web"]), "rev": st.sampled_from(["1", "2"])}
)
label_selectors = st.one_of(
    st.none(),
    st.just(selector()),
    st.builds(lambda app: selector({"app": app}), st.sampled_from(["db", "web"])),
    st.builds(lambda app: selector(None, ("app", "NotIn", [app])), st.sampled_from(["db", "web"])),
    st.just(selector(None, ("app", "Exists"))),
)
namespace_selectors = st.sampled_from(
    [None, None, selector(), selector({"team": "a"}), selector(None, ("team", "NotIn", ["a"]))]
)
label_keys = st.lists(st.sampled_from(["rev", "app", "absent"]), max_size=2, unique=True)


@st.composite
def nodes(draw: st.DrawFn) -> list[objects.Node]:
    """One to six nodes, some without a label, some tainted, some sharing a host name."""
    found = []
    for index in range(draw(st.integers(1, 6))):
        each = node(
            f"n{index}",
            labels=draw(
                st.fixed_dictionaries(
                    {HOST: st.sampled_from([f"n{index}", "shared"])} if draw(st.booleans()) else {},
                    optional={ZONE: st.sampled_from(["a", "b", ""]), RACK: st.sampled_from(["1", "2", "3"])},
                )
            ),
            taints=draw(st.sampled_from([(), (), ("dedicated=db:NoSchedule",), ("slow:PreferNoSchedule",)])),
            unschedulable=draw(st.integers(0, 5)) == 0,
        )
        if draw(st.integers(0, 7)) == 0:
            del each.metadata.labels[HOST]
        found.append(each)
    return found


@st.composite
def constraints(draw: st.DrawFn) -> objects.TopologySpreadConstraint:
    required = draw(st.booleans())
    policies = st.sampled_from([None, "Honor", "Ignore"])
    return spread(
        draw(KEYS),
        draw(label_selectors),
        skew=draw(st.integers(1, 3)),
        required=required,
        min_domains=draw(st.none() | st.integers(1, 3)) if required else None,
        node_affinity=draw(policies),
        node_taints=draw(policies),
        match_label_keys=draw(label_keys),
    )


@st.composite
def terms(draw: st.DrawFn) -> objects.PodAffinityTerm:
    keys = draw(label_keys)
    return term(
        draw(KEYS),
        draw(label_selectors),
        namespaces=draw(st.lists(st.sampled_from([*NAMESPACES, "unknown"]), max_size=2, unique=True)),
        namespace_selector=draw(namespace_selectors),
        match_label_keys=keys,
        mismatch_label_keys=[key for key in draw(label_keys) if key not in keys],
    )


weighted = st.tuples(st.sampled_from([1, 40, 100]), terms())


def few(items: st.SearchStrategy[objects.PodAffinityTerm]) -> st.SearchStrategy[list[objects.PodAffinityTerm]]:
    """None, mostly; up to two; the same one twice now and then."""
    twice = st.builds(lambda each: [each, each], items)
    return st.one_of(st.just([]), st.just([]), st.lists(items, max_size=2), twice)


@st.composite
def pods(draw: st.DrawFn, name: str, on: str = "") -> objects.Pod:
    affine = draw(st.booleans())
    twice = st.builds(lambda each: [each, each], weighted)
    preferred = st.one_of(st.just([]), st.lists(weighted, max_size=2), twice)
    return raw_pod(
        name,
        on=on,
        namespace=draw(st.sampled_from(["default", "default", "default", "other", "unknown"])),
        labels=draw(pod_labels),
        terminating=bool(on) and draw(st.integers(0, 5)) == 0,
        affinity=draw(few(terms())) if affine else [],
        anti_affinity=draw(few(terms())) if affine else [],
        preferred_affinity=draw(preferred) if affine else [],
        preferred_anti_affinity=draw(preferred) if affine else [],
        spreads=draw(st.lists(constraints(), max_size=3)),
        node_selector=draw(st.sampled_from([{}, {}, {ZONE: "a"}])),
        node_affinity=draw(
            st.sampled_from(
                [
                    None,
                    None,
                    [node_term((RACK, "In", ["1", "2"]))],
                    [node_term(names=[("metadata.name", "NotIn", ["n0"])])],
                ]
            )
        ),
        tolerations=draw(st.sampled_from([(), (), (toleration("dedicated", "Exists"),)])),
    )


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Nodes with up to eight pods on them."""
    members = draw(nodes())
    names = st.sampled_from([each.metadata.name for each in members])
    running = [draw(pods(f"running-{index}", on=draw(names))) for index in range(draw(st.integers(0, 8)))]
    return Cluster(members, running, NAMESPACES)


def snapshot_of(cluster: Cluster) -> Snapshot:
    """What the plugins see of it."""
    found = Snapshot()
    for name, labels in cluster.namespaces.items():
        found.put_namespace(name, labels)
    for each in cluster.nodes:
        found.put_node(each)
    for pod in cluster.pods:
        found.add_pod(INTERNER.pod(pod))
    return found
