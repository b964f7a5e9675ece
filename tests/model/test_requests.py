from __future__ import annotations

import pytest
from tests.builders import container, raw_pod

from stowplan.model import objects, requests

MI = 2**20
GI = 2**30


def sidecar(name: str, cpu: str) -> objects.Container:
    return container(name, cpu=cpu, restart="Always")


@pytest.mark.parametrize(
    ("pod", "cpu"),
    [
        pytest.param(raw_pod("p", containers=[container("a", cpu="1"), container("b", cpu="2")]), 3000, id="sum"),
        pytest.param(raw_pod("p", cpu="1", init_containers=[container("i", cpu="3")]), 3000, id="the larger init"),
        pytest.param(raw_pod("p", cpu="4", init_containers=[container("i", cpu="3")]), 4000, id="the smaller init"),
        pytest.param(
            raw_pod("p", cpu="1", init_containers=[container("i", cpu="3"), container("j", cpu="2")]),
            3000,
            id="inits run one after the other",
        ),
        pytest.param(raw_pod("p", cpu="1", init_containers=[sidecar("s", "2")]), 3000, id="a sidecar runs beside"),
        pytest.param(
            raw_pod("p", cpu="1", init_containers=[sidecar("s", "2"), container("i", cpu="3")]),
            5000,
            id="an init after a sidecar runs beside it",
        ),
        pytest.param(
            raw_pod("p", cpu="1", init_containers=[container("i", cpu="3"), sidecar("s", "1")]),
            3000,
            id="an init before a sidecar does not",
        ),
        pytest.param(
            raw_pod("p", cpu="1", init_containers=[sidecar("s", "1"), sidecar("t", "1"), container("i", cpu="1500m")]),
            3500,
            id="two sidecars and an init",
        ),
        pytest.param(raw_pod("p", cpu="1", overhead={"cpu": "250m"}), 1250, id="overhead"),
        pytest.param(raw_pod("p", cpu="1", pod_resources={"cpu": "2"}), 2000, id="requests of the pod itself win"),
        pytest.param(raw_pod("p", cpu="3", pod_resources={"cpu": "2"}, overhead={"cpu": "1"}), 3000, id="and overhead"),
        pytest.param(raw_pod("p", cpu="3", pod_resources={"memory": "1Gi"}), 3000, id="for the resources they name"),
        pytest.param(raw_pod("p"), 0, id="nothing"),
    ],
)
def test_a_pod_asks_for_what_its_containers_need_at_once(pod: objects.Pod, cpu: int) -> None:
    assert requests.pod_requests(pod).get("cpu", 0) == cpu


@pytest.mark.parametrize(
    ("sizes", "memory"),
    [
        pytest.param(["1500m", "1500m"], 3, id="halves that add up"),
        pytest.param(["0.2", "0.3", "2.6"], 4, id="a sum that does not"),
        pytest.param(["8Ei", "8Ei"], 2**63 - 1, id="more than there can be"),
    ],
)
def test_the_sum_is_rounded_and_not_what_it_is_made_of(sizes: list[str], memory: int) -> None:
    pod = raw_pod("p", containers=[container(f"c{at}", memory=size) for at, size in enumerate(sizes)])
    assert requests.pod_requests(pod)["memory"] == memory


def test_every_resource_is_added_up_on_its_own() -> None:
    pod = raw_pod(
        "p",
        containers=[
            container("a", cpu="1", memory="1Gi", requests={"example.com/gpu": 1}),
            container("b", memory="1Mi"),
        ],
        init_containers=[container("i", memory="3Gi", requests={"ephemeral-storage": "1k"})],
    )
    expected = {"cpu": 1000, "memory": 3 * GI, "example.com/gpu": 1, "ephemeral-storage": 1000}
    assert requests.pod_requests(pod) == expected


def test_pod_level_requests_hold_for_cpu_memory_and_huge_pages_only() -> None:
    pod = raw_pod("p", requests={"example.com/gpu": 1}, pod_resources={"hugepages-2Mi": "4Mi", "example.com/gpu": 5})
    assert requests.pod_requests(pod) == {"example.com/gpu": 1, "hugepages-2Mi": 4 * MI}


def resized(
    asked: str, used: str, allocated: str | None = None, *, reason: str = "", sidecar: bool = False
) -> objects.Pod:
    one = container("main", cpu=asked, restart="Always" if sidecar else None)
    pod = raw_pod("p", containers=[] if sidecar else [one], init_containers=[one] if sidecar else [])
    report = objects.ContainerStatus(
        "main",
        allocated_resources={"cpu": allocated} if allocated else {},
        resources=objects.ResourceRequirements({"cpu": used}),
    )
    pod.status = objects.PodStatus(
        conditions=[objects.PodCondition("PodResizePending", "True", reason)] if reason else [],
        container_statuses=[] if sidecar else [report],
        init_container_statuses=[report] if sidecar else [],
    )
    return pod


@pytest.mark.parametrize(
    ("pod", "cpu"),
    [
        pytest.param(resized("2", "1"), 2000, id="growing: what is asked for"),
        pytest.param(resized("1", "2"), 2000, id="shrinking: what is still in use"),
        pytest.param(resized("1", "2", "3"), 3000, id="what is allocated"),
        pytest.param(resized("9", "2", "3", reason="Infeasible"), 3000, id="an infeasible wish does not count"),
        pytest.param(resized("9", "2", "3", reason="Deferred"), 9000, id="a deferred one does"),
        pytest.param(resized("1", "2", sidecar=True), 2000, id="sidecars too"),
    ],
)
def test_while_a_pod_is_resized_the_largest_of_its_sizes_counts(pod: objects.Pod, cpu: int) -> None:
    assert requests.pod_requests(pod)["cpu"] == cpu


def test_while_a_whole_pod_is_resized_the_largest_of_its_sizes_counts() -> None:
    pod = raw_pod("p", cpu="1", pod_resources={"cpu": "2", "memory": "1Gi"})
    pod.status.resources = objects.ResourceRequirements({"cpu": "3", "memory": "512Mi"})
    pod.status.allocated_resources = {"cpu": "2500m", "memory": "2Gi"}
    assert requests.pod_requests(pod) == {"cpu": 3000, "memory": 2 * GI}


@pytest.mark.parametrize(
    ("pod", "on_node", "looking"),
    [
        pytest.param(raw_pod("p", cpu="1", memory="1Gi"), (1000, GI), (1000, GI), id="both asked for"),
        pytest.param(raw_pod("p"), (100, 200 * MI), (100, 200 * MI), id="none"),
        pytest.param(raw_pod("p", cpu="0"), (0, 200 * MI), (0, 200 * MI), id="zero is what was asked for"),
        pytest.param(
            raw_pod("p", containers=[container("a", cpu="1"), container("b", memory="1Gi")]),
            (1100, GI + 200 * MI),
            (1100, GI + 200 * MI),
            id="each container on its own",
        ),
        pytest.param(
            raw_pod("p", containers=[container("a"), container("b")], init_containers=[sidecar("s", "1")]),
            (1200, 600 * MI),
            (1200, 600 * MI),
            id="sidecars too",
        ),
        pytest.param(raw_pod("p", pod_resources={"cpu": "1"}), (1000, 200 * MI), (100, 200 * MI), id="pod level"),
        pytest.param(
            raw_pod("p", containers=[container("a", memory="1Gi"), container("b")], pod_resources={"cpu": "1"}),
            (1000, GI),
            (200, GI + 200 * MI),
            id="pod level, and some containers have memory",
        ),
    ],
)
def test_containers_that_ask_for_nothing_count_for_something_in_scores(
    pod: objects.Pod, on_node: tuple[int, int], looking: tuple[int, int]
) -> None:
    assert requests.nonzero(pod, requests.pod_requests(pod)) == on_node
    scored = requests.scored(pod)
    assert (scored["cpu"], scored["memory"]) == looking


@pytest.mark.parametrize(
    ("name", "extended", "scalar"),
    [
        pytest.param("cpu", False, False, id="cpu"),
        pytest.param("storage", False, False, id="no resource of a node"),
        pytest.param("example.com/gpu", True, True, id="extended"),
        pytest.param("requests.example.com/gpu", False, False, id="a quota's name"),
        pytest.param("hugepages-2Mi", False, True, id="huge pages"),
        pytest.param("attachable-volumes-csi", False, True, id="volumes"),
        pytest.param("kubernetes.io/batch-cpu", False, True, id="native with a prefix"),
        pytest.param("foo.kubernetes.io/bar", False, True, id="native below a prefix"),
    ],
)
def test_kinds_of_resources_are_told_by_name(name: str, extended: bool, scalar: bool) -> None:
    assert requests.is_extended(name) is extended
    assert requests.is_scalar(name) is scalar
