from __future__ import annotations

from pathlib import Path

import pytest
from tests.bench.perf import ops, source
from tests.bench.perf.command import choose
from tests.bench.perf.source import Workload
from tests.controlplane.errors import ControlPlaneError

CASE = """
- name: Spreading
  featureGates: {A: true, B: true}
  defaultPodTemplatePath: pod.yaml
  workloadTemplate:
  - {opcode: createNodes, countParam: $nodes}
  - opcode: createPodSets
    countParam: $sets
    namespacePrefix: init
    createPodsOp: {opcode: createPods, countParam: $before}
  - {opcode: churn, mode: create, templatePaths: [pod.yaml], intervalMilliseconds: 200}
  - {opcode: createPods, countParam: $pods, collectMetrics: true}
  workloads:
  - name: small
    featureGates: {B: false}
    labels: [short]
    threshold: 12
    params: {nodes: 5, sets: 2, before: 3, pods: 10}
"""


def written(tmp_path: Path, text: str) -> list[Workload]:
    path = tmp_path / "volumes" / "performance-config.yaml"
    path.parent.mkdir()
    path.write_text(text)
    return list(source.read(path))


def test_a_size_fills_in_the_numbers_and_a_set_becomes_one_step_for_each_namespace(tmp_path: Path) -> None:
    (workload,) = written(tmp_path, CASE)
    assert workload.name == "Spreading/small"
    assert (workload.nodes, workload.before, workload.measured) == (5, 6, 10)
    assert workload.ops == (
        ops.CreateNodes(count=5),
        ops.CreatePods(count=3, namespace="init-0"),
        ops.CreatePods(count=3, namespace="init-1"),
        ops.Churn(mode="create", template_paths=["pod.yaml"], interval_milliseconds=200),
        ops.CreatePods(count=10, collect_metrics=True),
    )


def test_the_gates_of_a_size_overrule_those_of_its_case(tmp_path: Path) -> None:
    (workload,) = written(tmp_path, CASE)
    assert source.flag(workload.gates) == "--feature-gates=A=true,B=false"


def test_fewer_pods_can_be_measured_and_what_is_there_before_stays(tmp_path: Path) -> None:
    (workload,) = written(tmp_path, CASE)
    assert (workload.limited(4).before, workload.limited(4).measured) == (6, 4)
    assert workload.limited(11).measured == 10


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param("opcode: churn", "opcode: stir", "Invalid value 'stir'", id="step"),
        pytest.param("mode: create", "mode: destroy", "Invalid enum value 'destroy'", id="mode"),
        pytest.param("labels: [short]", "colour: red", "unknown field `colour`", id="field of a size"),
        pytest.param("collectMetrics: true", "steadyState: true", "unknown field `steadyState`", id="field of a step"),
        pytest.param("defaultPodTemplatePath", "schedulerConfigPath", "unknown field `schedulerConfigPath`", id="case"),
        pytest.param("sets: 2, ", "", "no parameter 'sets' for CreatePodSets", id="parameter"),
        pytest.param("nodes: 5", "nodes: many", "Expected `int`, got `str`", id="parameter that is no number"),
        pytest.param(", collectMetrics: true", "", "last step alone is measured", id="nothing is measured"),
        pytest.param("countParam: $before", "count: 1, collectMetrics: true", "last step alone", id="measured twice"),
    ],
)
def test_what_is_not_known_is_one_line_that_names_file_and_case(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in CASE
    with pytest.raises(ControlPlaneError, match=r"^volumes/performance-config.yaml: Spreading: ") as raised:
        written(tmp_path, CASE.replace(old, new))
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_template_that_is_missing_is_noticed_before_anything_is_started(tmp_path: Path) -> None:
    (workload,) = written(tmp_path, CASE)
    with pytest.raises(ControlPlaneError, match=r"pod\.yaml cannot be read: No such file"):
        workload.check()
    (tmp_path / "volumes" / "pod.yaml").write_text("{kind: Pod, spec: {}}")
    workload.check()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [pytest.param("- {", "cannot be read: while parsing", id="no YAML"), pytest.param(None, "No such file", id="gone")],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "performance-config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ControlPlaneError, match=complaint) as raised:
        list(source.read(path))
    assert "\n" not in str(raised.value)


def test_a_case_is_run_in_the_size_that_was_asked_for_and_a_full_name_in_its_own(tmp_path: Path) -> None:
    other = CASE.replace("Spreading", "Other").replace("small", "large/very")
    known = {each.name: each for each in written(tmp_path, CASE + other)}
    names = ["Spreading", "Other/large/very"]
    assert [each.name for each in choose(known, names, "small")] == ["Spreading/small", "Other/large/very"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        pytest.param("Spreading", "no workload Spreading/huge: the sizes of Spreading are small", id="size"),
        pytest.param("Spreading/tiny", "no workload Spreading/tiny: the sizes of Spreading are small", id="full name"),
        pytest.param("Affinity", "no workload Affinity: there are Spreading", id="case"),
    ],
)
def test_an_unknown_workload_is_told_with_those_that_are_known(tmp_path: Path, name: str, complaint: str) -> None:
    known = {each.name: each for each in written(tmp_path, CASE)}
    with pytest.raises(ControlPlaneError, match=complaint):
        choose(known, [name], "huge")
