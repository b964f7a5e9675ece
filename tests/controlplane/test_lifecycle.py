from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.controlplane.api import condition
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import NOT_READY_TAINT, Layout, Manifest
from tests.controlplane.plane import ControlPlane, Options
from tests.controlplane.test_control_plane import pod

ONE_NODE = Layout(zones=1, power_domains=1, racks=1, hosts=1)
NODE = "/api/v1/nodes/a-1-r1-h1"


async def test_two_control_planes_run_side_by_side_and_know_nothing_of_each_other(
    new_control_plane: NewControlPlane,
) -> None:
    small = Options(layout=ONE_NODE, provisioner=False)
    first, second = await asyncio.gather(*(asyncio.to_thread(new_control_plane, small) for _ in range(2)))
    assert first.server != second.server
    async with first.api() as here, second.api() as there:
        await here.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "only-here"}})
        names = {each["metadata"]["name"] for each in await there.list("/api/v1/namespaces")}
        assert "default" in names
        assert "only-here" not in names


async def test_crash_and_recovery_of_its_parts(new_control_plane: NewControlPlane) -> None:
    plane = await asyncio.to_thread(new_control_plane, Options(layout=ONE_NODE, provisioner=False, scheduler=True))
    async with plane.api() as api:
        # A restarted API server has all objects and still knows its clients.
        uid = (await api.get(NODE))["metadata"]["uid"]
        plane.restart("kube-apiserver")
        assert (await api.get(NODE))["metadata"]["uid"] == uid

        # kube-scheduler, where wanted, places what names no scheduler.
        unplaced = pod("default", "placed-by-kube-scheduler", "")
        del unplaced["spec"]["nodeName"]
        await api.create(unplaced)
        where = "/api/v1/namespaces/default/pods"
        await api.wait(f"{where}/placed-by-kube-scheduler", _is_ready, within=40)

        # A silent node is tainted, and a pod deleted there stays until the node is back.
        await plane.silence_node("a-1-r1-h1")
        await api.wait(NODE, lambda node: NOT_READY_TAINT in _taints(node), within=40)
        await api.delete(f"{where}/placed-by-kube-scheduler")
        assert "deletionTimestamp" in (await api.get(f"{where}/placed-by-kube-scheduler"))["metadata"]
        await plane.wake_node("a-1-r1-h1")
        await api.wait_gone(f"{where}/placed-by-kube-scheduler", within=40)
        await api.wait(NODE, lambda node: not _taints(node), within=40)


@pytest.mark.e2e
def test_stopping_leaves_logs_and_no_data(tmp_path: Path) -> None:
    with ControlPlane(tmp_path, Options(layout=None, controllers=False, kwok=False, provisioner=False)) as plane:
        pids = [process.pid for process in plane.processes.values()]
        assert "Server Version: v1.36" in plane.kubectl("version")
        assert "v4" in plane.helm("version", "--short")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert (tmp_path / "logs" / "kube-apiserver.log").stat().st_size > 0
    assert not (tmp_path / "etcd").exists()


@pytest.mark.e2e
def test_a_start_that_fails_says_which_process_and_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path, Options(arguments={"kube-apiserver": ["--no-such-flag"]}))
    with pytest.raises(
        ControlPlaneError, match=r"(?s)kube-apiserver ended with status 1.*unknown flag: --no-such-flag"
    ):
        plane.start()
    assert not any(process.alive for process in plane.processes.values())


def test_kubectl_that_fails_says_why(control_plane: ControlPlane) -> None:
    with pytest.raises(ControlPlaneError, match=r'kubectl get node nowhere: .*"nowhere" not found'):
        control_plane.kubectl("get", "node", "nowhere")


async def test_a_service_account_may_do_what_its_role_says_and_no_more(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubeconfig = control_plane.service_account(namespace, "default")
    who = control_plane.kubectl("auth", "whoami", "-o", "name", kubeconfig=kubeconfig)
    assert who
    with pytest.raises(ControlPlaneError, match="forbidden"):
        control_plane.kubectl("get", "pods", "-n", namespace, kubeconfig=kubeconfig)


def _is_ready(manifest: Manifest) -> bool:
    return condition(manifest, "Ready") == "True"


def _taints(node: Manifest) -> set[str]:
    return {taint["key"] for taint in node["spec"].get("taints", [])}
