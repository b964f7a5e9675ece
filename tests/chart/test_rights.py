"""Stowplan may do what it needs to, and each right was looked at by somebody."""

from __future__ import annotations

import json

import pytest
from tests.chart import rendering
from tests.controlplane.plane import ControlPlane

from stowplan.kube import resources

pytestmark = pytest.mark.e2e

Right = tuple[str, str]
"""Group and resource, such as ("apps", "deployments/scale")."""

READ = {"get", "list", "watch"}
# The reviewed list: docs/operations.md says of each why. A right that is not here fails the test.
CLUSTER_WIDE: dict[Right, set[str]] = {
    ("", "namespaces"): READ,
    ("", "nodes"): READ,
    ("", "persistentvolumeclaims"): READ | {"create", "patch", "delete"},
    ("", "persistentvolumes"): READ | {"patch"},
    ("", "pods"): READ | {"create", "patch", "delete"},
    ("", "pods/binding"): {"create"},
    ("", "pods/eviction"): {"create"},
    ("", "pods/status"): {"patch"},
    ("", "services"): READ | {"create", "patch", "delete"},
    ("apps", "controllerrevisions"): {"get", "list", "create", "patch", "delete"},
    ("events.k8s.io", "events"): {"create", "patch"},
    ("policy", "poddisruptionbudgets"): READ | {"create", "patch", "delete"},
    ("scheduling.k8s.io", "priorityclasses"): READ,
    ("storage.k8s.io", "csidrivers"): READ,
    ("storage.k8s.io", "csinodes"): READ,
    ("storage.k8s.io", "volumeattachments"): READ,
    ("storage.k8s.io", "csistoragecapacities"): READ,
    ("storage.k8s.io", "storageclasses"): READ,
    ("", "replicationcontrollers"): READ,
    ("apps", "replicasets"): READ,
    ("apps", "statefulsets"): READ,
    ("stowplan.dev", "schedulingpolicies"): READ,
    ("stowplan.dev", "schedulingpolicies/status"): {"patch"},
    ("stowplan.dev", "statefulclusters"): READ,
    ("stowplan.dev", "statefulclusters/finalizers"): {"update"},
    ("stowplan.dev", "statefulclusters/status"): {"patch"},
}
FOR_DEFAULT_CONSTRAINTS = {("", "replicationcontrollers"), ("apps", "replicasets"), ("apps", "statefulsets")}
NAMED = {("coordination.k8s.io", "leases"): {"stowplan"}}
IN_ITS_NAMESPACE: dict[Right, set[str]] = {("coordination.k8s.io", "leases"): {"get", "update", "create"}}


def rights(role: rendering.Manifest) -> dict[Right, set[str]]:
    found: dict[Right, set[str]] = {}
    for rule in role["rules"]:
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def operator_role(manifests: tuple[rendering.Manifest, ...]) -> rendering.Manifest:
    binding = rendering.of(manifests, "ClusterRoleBinding")
    (role,) = (
        manifest
        for manifest in manifests
        if manifest["kind"] == "ClusterRole" and manifest["metadata"]["name"] == binding["roleRef"]["name"]
    )
    return role


def test_the_rights_are_those_that_were_reviewed() -> None:
    manifests = rendering.render()
    assert rights(operator_role(manifests)) == CLUSTER_WIDE
    assert rights(rendering.of(manifests, "Role")) == IN_ITS_NAMESPACE


SPREAD = "PodTopologySpread"
NO_DEFAULTS = {"pluginConfig": [{"name": SPREAD, "args": {"defaultingType": "List"}}]}
OF_ITS_OWN = {"defaultConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}


@pytest.mark.parametrize(
    ("config", "reads"),
    [
        pytest.param({}, True, id="nothing said"),
        pytest.param(NO_DEFAULTS, False, id="none"),
        pytest.param({"pluginConfig": [{"name": SPREAD, "args": {}}]}, True, id="kube-scheduler's"),
        pytest.param(
            {"pluginConfig": [{"name": SPREAD, "args": {"defaultingType": "List", **OF_ITS_OWN}}]}, True, id="own"
        ),
        pytest.param(
            {"profiles": [{"schedulerName": "a", **NO_DEFAULTS}, {"schedulerName": "b", **NO_DEFAULTS}]},
            False,
            id="in no profile",
        ),
        pytest.param({"profiles": [{"schedulerName": "a", **NO_DEFAULTS}, {"schedulerName": "b"}]}, True, id="in one"),
    ],
)
def test_services_and_controllers_are_read_where_default_constraints_need_them(
    config: dict[str, object], reads: bool
) -> None:
    arguments = [part for key, value in config.items() for part in ("--set-json", f"config.{key}={json.dumps(value)}")]
    granted = rights(operator_role(rendering.render(*arguments)))
    kept = {right: verbs for right, verbs in CLUSTER_WIDE.items() if reads or right not in FOR_DEFAULT_CONSTRAINTS}
    assert granted == kept
    if reads:
        assert all(granted[each.group, each.plural] >= READ for each in resources.WORKLOADS)


def test_what_can_be_limited_to_names_is() -> None:
    manifests = rendering.render()
    for role in (operator_role(manifests), rendering.of(manifests, "Role")):
        for rule in role["rules"]:
            (group,) = rule["apiGroups"]
            for resource in rule["resources"]:
                wanted = NAMED.get((group, resource), set()) if rule["verbs"] != ["create"] else set()
                assert set(rule.get("resourceNames", [])) == wanted


def test_no_role_of_the_chart_has_a_wildcard_or_a_verb_that_leads_to_more() -> None:
    for role in rendering.render("--values", str(rendering.VALUES / "full.yaml")):
        for rule in role.get("rules", []):
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not [word for word in words if "*" in word]
            assert not {"escalate", "bind", "impersonate", "approve", "sign"} & set(rule["verbs"])
            assert not {"secrets", "roles", "clusterroles", "nodes/proxy", "pods/exec"} & set(rule["resources"])


def test_what_the_scheduler_watches_can_be_listed_and_watched() -> None:
    granted = rights(operator_role(rendering.render()))
    for resource in resources.WATCHED:
        assert {"list", "watch"} <= granted[resource.group, resource.plural]


def test_users_get_rights_to_our_kinds_only() -> None:
    for suffix in ("-view", "-edit"):
        role = rendering.of(rendering.render(), "ClusterRole", suffix)
        assert {group for group, _ in rights(role)} == {"stowplan.dev"}


def test_beyond_kube_scheduler_there_is_only_what_a_stateful_cluster_needs(control_plane: ControlPlane) -> None:
    """The roles of a real API server, so that a version that grants less is noticed."""
    theirs: dict[Right, set[str]] = {}
    for name in ("system:kube-scheduler", "system:volume-scheduler"):
        for right, verbs in rights(json.loads(control_plane.kubectl("get", "clusterrole", name, "-o", "json"))).items():
            theirs.setdefault(right, set()).update(verbs)
    beyond = {right: verbs - theirs.get(right, set()) for right, verbs in CLUSTER_WIDE.items()}
    assert {right: verbs for right, verbs in beyond.items() if verbs and right[0] != "stowplan.dev"} == {
        ("", "persistentvolumeclaims"): {"create", "delete"},
        ("", "pods"): {"create", "patch"},
        ("", "pods/eviction"): {"create"},
        ("", "services"): {"create", "patch", "delete"},
        ("apps", "controllerrevisions"): {"get", "list", "create", "patch", "delete"},
        ("policy", "poddisruptionbudgets"): {"create", "patch", "delete"},
        # kube-scheduler takes the number from the pod; we name the class to which a preemption policy belongs.
        ("scheduling.k8s.io", "priorityclasses"): READ,
    }


def test_the_operations_page_says_why_of_each_right() -> None:
    page = (rendering.CHART.parents[1] / "docs" / "operations.md").read_text()
    table = page.partition("| group | resource | verbs | why |")[2].partition("\n\n")[0]
    told: dict[Right, set[str]] = {}
    for line in table.splitlines()[2:]:
        group, found, verbs, _ = (cell.strip() for cell in line.strip("|").split("|"))
        for resource in found.split(", "):
            told.setdefault((group, resource), set()).update(verbs.split(", "))
    assert told == CLUSTER_WIDE | IN_ITS_NAMESPACE
