"""What the API server lets the chart's service account do, and when it refuses a bind that RBAC allows."""

from __future__ import annotations

import pytest
from tests.chart.conftest import Release
from tests.controlplane.api import Api, ApiFailure, wait_until
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import Options

ANY_NAME = ""


async def test_the_account_may_do_so_much_and_no_more(release: Release) -> None:
    questions = {
        # verb, group, resource, subresource, name: the answer
        ("create", "", "pods", "binding", ANY_NAME): True,
        ("patch", "", "pods", "status", ANY_NAME): True,
        ("watch", "", "nodes", "", ANY_NAME): True,
        ("create", "events.k8s.io", "events", "", ANY_NAME): True,
        ("patch", "stowplan.dev", "statefulclusters", "status", ANY_NAME): True,
        ("update", "coordination.k8s.io", "leases", "", release.name): True,
        ("patch", "apiextensions.k8s.io", "customresourcedefinitions", "", "statefulclusters.stowplan.dev"): False,
        ("update", "coordination.k8s.io", "leases", "", "kube-scheduler"): False,
        ("get", "", "secrets", "", ANY_NAME): False,
        ("patch", "", "nodes", "", ANY_NAME): False,
        ("create", "", "pods", "exec", ANY_NAME): False,
        ("create", "", "serviceaccounts", "token", ANY_NAME): False,
        ("create", "rbac.authorization.k8s.io", "clusterrolebindings", "", ANY_NAME): False,
        ("*", "*", "*", "", ANY_NAME): False,
    }
    async with release.api() as account:

        async def allowed(question: tuple[str, str, str, str, str]) -> bool:
            attributes = dict(zip(("verb", "group", "resource", "subresource", "name"), question, strict=True))
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "metadata": {},
                "spec": {"resourceAttributes": attributes | {"namespace": release.namespace}},
            }
            answer: bool = (await account.create(review))["status"]["allowed"]
            return answer

        async def in_force() -> bool | None:
            """The authorizer hears of new roles by a watch."""
            return True if all([await allowed(question) for question, wanted in questions.items() if wanted]) else None

        await wait_until(in_force, what="the roles of the release")
        answers = {question: await allowed(question) for question in questions}
    assert answers == questions


def lease_path(release: Release) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{release.namespace}/leases/{release.name}"


def lease(release: Release, holder: str, transitions: int, **metadata: object) -> Manifest:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {**metadata, "name": release.name, "namespace": release.namespace},
        "spec": {"holderIdentity": holder, "leaseTransitions": transitions},
    }


async def bind(api: Api, namespace: str, pod: str, fence: str | None, *, dry: bool = False) -> None:
    """Bind a pod to a node, with or without the annotation that says who we are."""
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod, "annotations": {} if fence is None else {"stowplan.dev/fence": fence}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "a-1-r1-h1"},
    }
    query = {"dryRun": "All"} if dry else {}
    await api.request("POST", f"/api/v1/namespaces/{namespace}/pods/{pod}/binding", binding, query=query)


async def judged(api: Api, namespace: str, pod: str, fence: str | None) -> str:
    """What the API server would say to a bind: nothing where it would do it."""
    try:
        await bind(api, namespace, pod, fence, dry=True)
    except ApiFailure as failure:
        if failure.status not in {403, 422}:
            raise
        return failure.message
    return ""


async def wait_for_verdict(api: Api, namespace: str, fence: str, verdict: str) -> None:
    """The API server learns of policies and leases by watches: wait until it judges so (all of it, if empty)."""

    async def look() -> bool | None:
        said = await judged(api, namespace, "pod", fence)
        return True if (verdict in said if verdict else not said) else None

    await wait_until(look, what=f"a bind by {fence} to be answered with {verdict or 'yes'!r}")


async def create_pod(admin: Api, namespace: str, name: str) -> None:
    containers = [{"name": "main", "image": "example.com/none"}]
    await admin.create({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"schedulerName": "nobody", "containers": containers},
    })  # fmt: skip


@pytest.mark.timeout(120)
async def test_only_the_leader_binds_once_the_fence_stands(new_control_plane: NewControlPlane) -> None:
    """On a control plane of its own: one that has had such a policy before may have stopped watching leases."""
    plane = new_control_plane(Options(layout=None, kwok=False, provisioner=False))
    release = Release("stowplan", "placement", plane)
    namespace = release.namespace
    await plane.create_namespace(namespace)
    release.helm("install", "--set", "fencing.enabled=true")
    async with plane.api() as admin, release.api() as account:
        for name in ("pod", "first", "second", "third"):
            await create_pod(admin, namespace, name)

        held = await account.create(lease(release, "a", 3))
        await wait_for_verdict(account, namespace, "nobody/9", "the leader a/3")
        assert not await judged(account, namespace, "pod", "a/3")
        assert "the fence is , the leader a/3" in await judged(account, namespace, "pod", None)
        assert "the fence is a/2, the leader a/3" in await judged(account, namespace, "pod", "a/2")
        assert "the fence is b/3, the leader a/3" in await judged(account, namespace, "pod", "b/3")
        await bind(account, namespace, "first", "a/3")
        bound = await admin.get(f"/api/v1/namespaces/{namespace}/pods/first")
        assert (bound["spec"]["nodeName"], bound["metadata"]["annotations"]) == (
            "a-1-r1-h1",
            {"stowplan.dev/fence": "a/3"},
        )

        # Somebody else takes the lease: the one who had it is refused from then on.
        await account.request("PUT", lease_path(release), lease(release, "b", 4, **held["metadata"]))
        await wait_for_verdict(account, namespace, "a/3", "the leader b/4")
        with pytest.raises(ApiFailure, match="the fence is a/3, the leader b/4"):
            await bind(account, namespace, "second", "a/3")
        await bind(account, namespace, "second", "b/4")

        # It is about this account only.
        await bind(admin, namespace, "third", None)

        # Without a lease nobody leads, and no scheduler of the cluster is held up, least of all the one that is to
        # place our own pods before there ever was a lease.
        await admin.delete(lease_path(release))
        await wait_for_verdict(account, namespace, "nobody/9", "")
        assert not await judged(admin, namespace, "pod", None)


@pytest.mark.timeout(120)
async def test_a_fence_that_was_taken_down_and_put_up_again_follows_the_lease(
    new_control_plane: NewControlPlane,
) -> None:
    """kube-apiserver forgets how to watch a built-in parameter kind that nobody uses; here nobody else does."""
    plane = new_control_plane(Options(layout=None, kwok=False, provisioner=False))
    release = Release("stowplan", "placement", plane)
    await plane.create_namespace(release.namespace)
    release.helm("install", "--set", "fencing.enabled=true")
    async with plane.api() as admin, release.api() as account:
        await create_pod(admin, release.namespace, "pod")
        await account.create(lease(release, "a", 1))
        await wait_for_verdict(account, release.namespace, "nobody/0", "the leader a/1")

        release.helm("upgrade", "--set", "fencing.enabled=false")
        await wait_for_verdict(account, release.namespace, "nobody/0", "")
        current = await admin.get(lease_path(release))
        await account.request("PUT", lease_path(release), lease(release, "b", 2, **current["metadata"]))

        release.helm("upgrade", "--set", "fencing.enabled=true")
        await wait_for_verdict(account, release.namespace, "nobody/0", "the leader b/2")
