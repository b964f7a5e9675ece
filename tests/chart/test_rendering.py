"""What the chart makes of its values."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.chart import rendering
from tests.controlplane.errors import ControlPlaneError

from stowplan.app import plugin_config, settings

pytestmark = pytest.mark.e2e  # not for a control plane, but for helm, which is built like one

DEFAULT: tuple[str, ...] = ()
FULL = ("--values", str(rendering.VALUES / "full.yaml"))
PLAIN = ("--values", str(rendering.VALUES / "plain.yaml"))
SETS = [pytest.param(DEFAULT, id="default"), pytest.param(FULL, id="full"), pytest.param(PLAIN, id="plain")]


@pytest.mark.parametrize("values", [pytest.param([], id="default"), *(
    pytest.param(["--values", str(file)], id=file.stem) for file in rendering.FILES
)])  # fmt: skip
def test_helm_finds_nothing_to_complain_about(values: list[str]) -> None:
    rendering.helm("lint", "--strict", str(rendering.CHART), *values)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--set", "replicas=3"], "additional properties 'replicas' not allowed", id="unknown value"),
        pytest.param(["--set", "config.schedulername=x"], "'schedulername' not allowed", id="misspelt configuration"),
        pytest.param(["--set", "replicaCount=many"], "at '/replicaCount': got string, want integer", id="type"),
        pytest.param(["--set", "config.log.level=trace"], "at '/config/log/level': value must be one of", id="level"),
        pytest.param(["--set", "config.bindTimeout=600"], "at '/config/bindTimeout'", id="duration without a unit"),
        pytest.param(["--set", "image.digest=latest"], "at '/image/digest'", id="digest"),
        pytest.param(
            ["--set-json", 'config.pluginConfig=[{"name":"InterPodAffinity","args":{"hardPodAffinityWeight":101}}]'],
            "maximum: got 101, want 100",
            id="plugin argument",
        ),
        pytest.param(
            ["--set-json", 'config.pluginConfig=[{"args":{}}]'], "missing property 'name'", id="plugin without a name"
        ),
        pytest.param(
            ["--set-json", 'config.profiles=[{"schedulerName":"a","plugins":{"flter":{}}}]'],
            "additional properties 'flter' not allowed",
            id="misspelt extension point",
        ),
        pytest.param(
            ["--set", "config.schedulerName=x", "--set-json", 'config.profiles=[{"schedulerName":"a"}]'],
            "config.schedulerName, config.scoring and config.pluginConfig belong into each of config.profiles",
            id="name beside profiles",
        ),
        pytest.param(
            ["--set", "networkPolicy.apiServerPorts=null"], "missing property 'apiServerPorts'", id="every way out"
        ),
        pytest.param(
            ["--set", "config.leaderElection.leaderElect=false"],
            "replicaCount above 1 needs config.leaderElection.leaderElect: true",
            id="several leaders",
        ),
        pytest.param(
            [*PLAIN, "--set", "fencing.enabled=true"],
            "fencing.enabled needs config.leaderElection.leaderElect: true",
            id="fence without a lease",
        ),
        pytest.param(
            ["--set", "config.leaderElection.leaseDuration=9999ms"],
            "config.leaderElection: leaseDuration must be greater than renewDeadline",
            id="lease shorter than its renewal",
        ),
        pytest.param(
            ["--set", "config.leaderElection.renewDeadline=2.4s"],
            "config.leaderElection: renewDeadline must be greater than 1.2 times retryPeriod",
            id="renewal without a second try",
        ),
        pytest.param(
            ["--set", "config.leaderElection.retryPeriod=0s"],
            "config.leaderElection: retryPeriod must be greater than zero",
            id="no time between two tries",
        ),
        pytest.param(
            ["--set", "serviceAccount.create=false"],
            "serviceAccount.name is required where serviceAccount.create is false",
            id="no account",
        ),
    ],
)
def test_bad_values_are_refused_by_name(arguments: list[str], complaint: str) -> None:
    with pytest.raises(ControlPlaneError, match=re.escape(complaint)):
        rendering.render(*arguments)


@pytest.mark.parametrize("arguments", SETS)
def test_stowplan_accepts_the_configuration_of_the_chart(arguments: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(rendering.configuration(rendering.render(*arguments)))
    settings.load(file)


def test_default_values_are_the_programs_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(rendering.configuration(rendering.render()))
    loaded, defaults = settings.load(file), settings.Settings()
    assert loaded == defaults.model_copy(
        update={
            "metrics_bind_address": loaded.metrics_bind_address,
            "leader_election": defaults.leader_election.model_copy(
                update={"resource_name": "stowplan", "resource_namespace": rendering.NAMESPACE}
            ),
        }
    )


def test_every_value_of_the_configuration_reaches_the_program(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    manifests = rendering.render(*FULL)
    file.write_text(rendering.configuration(manifests))
    wanted = yaml.safe_load((rendering.VALUES / "full.yaml").read_text())["config"]
    wanted["leaderElection"] |= {"resourceName": "placer", "resourceNamespace": rendering.NAMESPACE}
    written = yaml.safe_load(file.read_text())
    assert written == wanted | {
        "apiVersion": settings.API_VERSION,
        "kind": settings.KIND,
        "metricsBindAddress": ":9090",
        "profiles": [],
    }


def properties(schema: rendering.Manifest, definitions: rendering.Manifest) -> rendering.Manifest:
    """Nested names of the properties of a JSON schema: what may be written, without how."""
    if "$ref" in schema:
        return properties(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    found: rendering.Manifest = {}
    for part in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
        found |= properties(part, definitions)
    if "items" in schema:
        found |= properties(schema["items"], definitions)
    found |= {name: properties(part, definitions) for name, part in schema.get("properties", {}).items()}
    return found


def test_the_schema_of_the_values_knows_each_field_of_the_configuration_and_no_other() -> None:
    program = settings.Settings.model_json_schema(by_alias=True)
    theirs = properties(program, program["$defs"])
    values = json.loads((rendering.CHART / "values.schema.json").read_text())
    ours = properties(values["properties"]["config"], values["$defs"])
    for chart_sets_it in ("apiVersion", "kind", "metricsBindAddress"):
        del theirs[chart_sets_it]
    for chart_sets_it in ("resourceName", "resourceNamespace"):
        del theirs["leaderElection"][chart_sets_it]
    del theirs["clientConnection"]["kubeconfig"]
    # The plugins: both sides choose by name, in different words of JSON schema.
    ours["pluginConfig"] = ours["profiles"]["pluginConfig"] = {
        choice["if"]["properties"]["name"]["const"]: properties(choice["then"]["properties"]["args"], {})
        for choice in values["$defs"]["pluginConfig"]["allOf"]
    }
    theirs["pluginConfig"] = theirs["profiles"]["pluginConfig"] = {
        name: properties(program["$defs"][kind.__name__], program["$defs"])
        for name, kind in plugin_config.IN_TREE.items()
    }
    theirs["pluginConfig"]["NodeAffinity"]["addedAffinity"] = {}  # core/v1's, which the program checks
    assert ours == theirs


def test_profiles_take_the_place_of_what_is_said_for_a_single_one(tmp_path: Path) -> None:
    profiles = '[{"schedulerName": "stowplan"}, {"schedulerName": "batch", "plugins": {"multiPoint": {"enabled": []}}}]'
    file = tmp_path / "config.yaml"
    file.write_text(rendering.configuration(rendering.render("--set-json", f"config.profiles={profiles}")))
    assert settings.load(file).scheduler_names == ("stowplan", "batch")


def test_the_schema_knows_each_default_value_and_no_other() -> None:
    schema = json.loads((rendering.CHART / "values.schema.json").read_text())
    values = yaml.safe_load((rendering.CHART / "values.yaml").read_text())
    assert sorted(schema["properties"]) == sorted([*values, "global"])


@pytest.mark.parametrize("arguments", SETS)
def test_every_object_carries_the_labels_and_the_namespace(arguments: tuple[str, ...]) -> None:
    cluster_wide = {
        "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    }  # fmt: skip
    for manifest in rendering.render(*arguments):
        meta = manifest["metadata"]
        assert meta["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert meta["labels"]["app.kubernetes.io/instance"] == rendering.RELEASE
        assert meta.get("namespace") == (None if manifest["kind"] in cluster_wide else rendering.NAMESPACE)


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        pytest.param(
            PLAIN,
            [*["ClusterRole"] * 3, "ClusterRoleBinding", "ConfigMap", "Deployment", "Service", "ServiceAccount"],
            id="plain",
        ),
        pytest.param(
            DEFAULT,
            [
                *["ClusterRole"] * 5, "ClusterRoleBinding", "ConfigMap", "Deployment", "NetworkPolicy",
                "PodDisruptionBudget", "Role", "RoleBinding", "Service", "ServiceAccount",
            ],
            id="default",
        ),
        pytest.param(
            FULL,
            [
                *["ClusterRole"] * 4, "ClusterRoleBinding", "ConfigMap", "Deployment", "NetworkPolicy",
                "PodDisruptionBudget", "Role", "RoleBinding", "Service", "ServiceAccount", "ServiceMonitor",
                *["ValidatingAdmissionPolicy"] * 2, *["ValidatingAdmissionPolicyBinding"] * 2,
            ],
            id="full",
        ),
    ],
)  # fmt: skip
def test_optional_objects_are_there_when_asked_for(arguments: tuple[str, ...], kinds: list[str]) -> None:
    assert sorted(manifest["kind"] for manifest in rendering.render(*arguments)) == kinds


def test_everything_that_selects_the_pods_selects_them() -> None:
    manifests = rendering.render()
    deployment = rendering.of(manifests, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        rendering.of(manifests, "Service")["spec"]["selector"],
        rendering.of(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        rendering.of(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(constraint["labelSelector"]["matchLabels"] for constraint in spread),
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()


def test_a_changed_configuration_is_a_new_rollout_and_an_unchanged_one_is_not() -> None:
    def checksum(*arguments: str) -> str:
        template = rendering.of(rendering.render(*arguments), "Deployment")["spec"]["template"]
        value: str = template["metadata"]["annotations"]["checksum/config"]
        return value

    assert checksum() == checksum("--set", "replicaCount=5")
    assert checksum() != checksum("--set", "config.log.level=debug")


def test_the_scheduler_is_not_scheduled_by_itself() -> None:
    pod = rendering.of(rendering.render(), "Deployment")["spec"]["template"]["spec"]
    assert pod["schedulerName"] == "default-scheduler"
    assert pod["priorityClassName"] == "system-cluster-critical"


@pytest.mark.parametrize(
    ("arguments", "image"),
    [
        pytest.param((), "stowplan:0.1.0", id="the chart's version"),
        pytest.param(("--set", "image.tag=edge"), "stowplan:edge", id="tag"),
        pytest.param(FULL, f"example/stowplan@sha256:{'0' * 64}", id="digest"),
    ],
)
def test_the_image_is_named_by_version_tag_or_digest(arguments: tuple[str, ...], image: str) -> None:
    (container,) = rendering.of(rendering.render(*arguments), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == image


def test_the_fence_is_the_lease_of_the_configuration() -> None:
    manifests = rendering.render(*FULL)
    election = yaml.safe_load(rendering.configuration(manifests))["leaderElection"]
    reference = rendering.of(manifests, "ValidatingAdmissionPolicyBinding", "-fence")["spec"]["paramRef"]
    assert (reference["name"], reference["namespace"]) == (election["resourceName"], election["resourceNamespace"])
    (lock, _) = rendering.of(manifests, "Role")["rules"]
    assert lock["resourceNames"] == [election["resourceName"]]
    condition = rendering.of(manifests, "ValidatingAdmissionPolicy", "-fence")["spec"]["matchConditions"][0][
        "expression"
    ]
    assert "'system:serviceaccount:placement:placer-account'" in condition


def test_the_readme_tells_every_value_with_its_default() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \| `(.*?)` \| (.+) \|$", (rendering.CHART / "README.md").read_text(), re.MULTILINE
    )
    values = yaml.safe_load((rendering.CHART / "values.yaml").read_text())
    whole = {"resources", "nodeSelector", "podSecurityContext", "securityContext"}

    def flat(part: rendering.Manifest, prefix: str = "") -> rendering.Manifest:
        found: rendering.Manifest = {}
        for name, value in part.items():
            path = prefix + name
            nested = isinstance(value, dict) and value and path not in whole
            found |= flat(value, f"{path}.") if nested else {path: value}
        return found

    assert {name: json.loads(default) for name, default, _ in rows} == flat(values)
