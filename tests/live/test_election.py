"""Of several replicas one works; when it is gone, another one does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.controlplane.api import Api
from tests.live import objects
from tests.process import Release
from tests.process_fixtures import NewReplica

pytestmark = pytest.mark.timeout(180)

LEASE_DURATION = 10
SHORT = {"leaderElection": {"leaseDuration": f"{LEASE_DURATION}s", "renewDeadline": "8s", "retryPeriod": "500ms"}}
"""Short, but long enough for a busy machine: a leader that gets no CPU for 8 s ends."""


async def test_a_standby_takes_over_from_a_leader_that_is_killed(
    api: Api, namespace: str, new_release: Callable[[], Release], new_replica: NewReplica
) -> None:
    release = new_release()
    leader = new_replica(release, SHORT)
    leader.wait_leads()
    standby = new_replica(release, SHORT)
    assert (leader.leads(), standby.leads()) == (True, False)
    assert standby.ask("/healthz")[0] == standby.ask("/readyz")[0] == standby.ask("/metrics")[0] == 200
    assert (leader.metric("stowplan_leader"), standby.metric("stowplan_leader")) == (1, 0)

    await api.create(objects.pod(namespace, "before", scheduler=release.name))
    before = await objects.bound(api, namespace, "before")
    leader.kill()
    await api.create(objects.pod(namespace, "after", scheduler=release.name))
    seconds = standby.wait_leads()
    assert seconds < LEASE_DURATION + 5  # and a margin for a busy machine
    after = await objects.bound(api, namespace, "after")

    holders = [replica.said("serving")[0]["identity"] for replica in (leader, standby)]
    fences = [pod["metadata"]["annotations"]["stowplan.dev/fence"] for pod in (before, after)]
    assert fences == [f"{holders[0]}/0", f"{holders[1]}/1"]

    # One that comes back is the standby now; a leader that is stopped hands over without waiting.
    leader.start()
    leader.wait_ready()
    assert not leader.leads()
    assert standby.stop() == 0
    leader.wait_leads()
    assert (await api.get(release.lease))["spec"]["leaseTransitions"] == 2


async def test_a_leader_that_loses_the_lease_ends(
    api: Api, namespace: str, new_release: Callable[[], Release], new_replica: NewReplica
) -> None:
    release = new_release()
    replica = new_replica(release, SHORT)
    replica.wait_leads()
    usurped = {"spec": {"holderIdentity": "somebody-else", "leaseTransitions": 7}}
    await api.patch(release.lease, usurped)
    assert replica.wait() == 1
    last = replica.output().splitlines()[-1]
    assert last == f"error: the lease {release.namespace}/{release.name} is held by somebody-else"
    assert "Traceback" not in replica.output()

    await api.create(objects.pod(namespace, "waits", scheduler=release.name))
    replica.start()
    replica.wait_said("another leads", holder="somebody-else")
    assert "nodeName" not in (await api.get(objects.pod_path(namespace, "waits")))["spec"]
    await objects.bound(api, namespace, "waits")  # once that one has not renewed for the duration of its lease
    assert (await api.get(release.lease))["spec"]["leaseTransitions"] == 8
