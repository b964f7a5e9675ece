"""The chart on a real API server: every object is accepted, and a release lives from install to uninstall."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.chart import rendering
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import Layout
from tests.controlplane.plane import ControlPlane, Options

CRDS = ("schedulingpolicies.stowplan.dev", "statefulclusters.stowplan.dev")
POLICY = "validatingadmissionpolicy.admissionregistration.k8s.io"
LABEL = "app.kubernetes.io/managed-by=Helm"


def objects(plane: ControlPlane, kinds: str, namespace: str = rendering.NAMESPACE) -> list[str]:
    """Names (``kind/name``) of what Helm has made."""
    return plane.kubectl("get", kinds, "-n", namespace, "-l", LABEL, "-o", "name").split()


@pytest.mark.parametrize(
    "file", [pytest.param(None, id="default"), *(pytest.param(file, id=file.stem) for file in rendering.FILES)]
)
async def test_the_api_server_accepts_every_object_as_it_is(
    control_plane: ControlPlane, namespace: str, file: Path | None
) -> None:
    arguments = ["--values", str(file)] if file else []
    text = rendering.helm("template", "dry", str(rendering.CHART), "--namespace", namespace, *arguments)
    known = [manifest for manifest in yaml.safe_load_all(text) if manifest["kind"] != "ServiceMonitor"]
    # By force: another test may have a release there, and some names exist once in a cluster.
    control_plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "-f", "-",
        stdin=yaml.safe_dump_all(known),
    )  # fmt: skip


@pytest.mark.timeout(240)
def test_a_release_is_installed_upgraded_and_removed(new_control_plane: NewControlPlane) -> None:
    plane = new_control_plane(
        Options(layout=Layout(zones=3, power_domains=1, racks=1, hosts=1), provisioner=False, scheduler=True)
    )
    plane.kubectl("create", "namespace", rendering.NAMESPACE)
    plane.kubectl("label", "namespace", rendering.NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    release = [rendering.RELEASE, str(rendering.CHART), "-n", rendering.NAMESPACE, "--wait", "--timeout", "90s"]

    # Installed: the CRDs are served, three pods run (of nothing: kwok plays them), in three zones.
    notes = plane.helm("install", *release)
    assert "places pods with schedulerName: stowplan.\n" in notes
    assert "The image is stowplan:0.1.0, which no public registry has." in notes
    plane.kubectl("wait", "--for=condition=Established", *(f"crd/{name}" for name in CRDS))
    assert plane.kubectl("get", "schedulingpolicies,statefulclusters", "-A") == ""
    pods = json.loads(plane.kubectl("get", "pods", "-n", rendering.NAMESPACE, "-o", "json"))["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    assert {pod["spec"]["priority"] for pod in pods} == {2_000_000_000}

    # The CRDs, which Helm does not touch again, change hands; as the README says.
    older = plane.kubectl("get", "crd", CRDS[0], "-o", "jsonpath={.spec.names.shortNames}")
    plane.kubectl("patch", "crd", CRDS[0], "--type=merge", '-p={"spec": {"names": {"shortNames": ["old"]}}}')
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(rendering.CHART / "crds"))
    assert plane.kubectl("get", "crd", CRDS[0], "-o", "jsonpath={.spec.names.shortNames}") == older

    # Upgraded: a new configuration rolls the pods, what was switched on is there, what was switched off is gone.
    settings = [
        "--set",
        "config.log.level=debug",
        "--set",
        "fencing.enabled=true",
        "--set",
        "networkPolicy.enabled=false",
    ]
    plane.helm("upgrade", *release, *settings)
    replaced = json.loads(plane.kubectl("get", "pods", "-n", rendering.NAMESPACE, "-o", "json"))["items"]
    assert not {pod["metadata"]["uid"] for pod in pods} & {
        pod["metadata"]["uid"] for pod in replaced if "deletionTimestamp" not in pod["metadata"]
    }
    assert objects(plane, "validatingadmissionpolicies,networkpolicies") == [
        f"{POLICY}/stowplan-fence",
        f"{POLICY}/stowplan-fence-anchor",
    ]

    # Refused: values that the schema does not know leave the release as it is.
    with pytest.raises(ControlPlaneError, match=re.escape("additional properties 'replicas' not allowed")):
        plane.helm("upgrade", *release, "--set", "replicas=1")
    assert json.loads(plane.helm("list", "-n", rendering.NAMESPACE, "-o", "json"))[0]["revision"] == "2"

    # Rolled back, then removed: nothing is left but the fence's anchor and the CRDs, which hold what users wrote.
    plane.helm("rollback", rendering.RELEASE, "1", "-n", rendering.NAMESPACE, "--wait")
    assert objects(plane, "validatingadmissionpolicies,networkpolicies") == [
        f"{POLICY}/stowplan-fence-anchor",
        "networkpolicy.networking.k8s.io/stowplan",
    ]
    plane.helm("uninstall", rendering.RELEASE, "-n", rendering.NAMESPACE, "--wait")
    kinds = "deployments,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,roles,rolebindings"
    assert objects(plane, f"{kinds},clusterroles,clusterrolebindings,validatingadmissionpolicies") == [
        f"{POLICY}/stowplan-fence-anchor"
    ]
    plane.kubectl("get", "crd", *CRDS)
