"""What kwok plays: the life of the fake nodes and of the pods bound to them.

Called by `ControlPlane` when it starts kwok, which has no stages of its own. A test steers a pod by annotations, at
creation or at any time after:

- `example.com/ready: "false"`: it runs but is not ready, until the annotation goes. So does a pod whose readiness gates
  are not all True (as with a real kubelet, who opens them is not the kubelet's business).
- `example.com/fails: "true"`: its containers end with an error; the pod's phase is Failed.

Pods of a Job end well as soon as they run. A deleted pod is gone at once, unless its node has fallen silent (see
`ControlPlane.silence_node`): then it stays Terminating, as on a real cluster.
"""

from __future__ import annotations

import yaml
from tests.controlplane.nodes import Manifest

_LIVES: list[Manifest] = [
    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
    {"key": ".status.phase", "operator": "In", "values": ["Pending", "Running"]},
]
_FAILS = '.metadata.annotations["example.com/fails"] == "true" | tostring'
_HELD = '.metadata.annotations["example.com/ready"] == "false" | tostring'
_GATES_OPEN = (
    "([.spec.readinessGates[]?.conditionType] - "
    '[.status.conditions[]? | select(.status == "True").type]) == [] | tostring'
)
_STATE = (
    '. as $pod | ["ContainersReady", "Ready"] | map(. as $type | [$pod.status.conditions[]? | select(.type == $type)'
    ' | .status] | first // "") | [$pod.status.phase] + . | join("/")'
)
_JOB = '[.metadata.ownerReferences[]?.kind] | index("Job") != null | tostring'

_NODE_READY = """
phase: Running
conditions:
- type: Ready
  status: "True"
  reason: KubeletReady
  message: a fake node
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ Now | Quote }}
"""

_POD_RUNS = """
{{ $now := Now }}
phase: Running
startTime: {{ or .status.startTime $now | Quote }}
{{ with NodeIPsWith .spec.nodeName }}
hostIP: {{ index . 0 | Quote }}
hostIPs:
- ip: {{ index . 0 | Quote }}
{{ end }}
{{ if not .status.podIP }}
{{ with PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
podIP: {{ index . 0 | Quote }}
podIPs:
- ip: {{ index . 0 | Quote }}
{{ end }}
{{ end }}
conditions:
- {type: PodReadyToStartContainers, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "@Containers", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "@Ready", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: @containers
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  restartCount: 0
  {{ if .restartPolicy }}
  started: true
  state: {running: {startedAt: {{ $now | Quote }}}}
  {{ else }}
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
  {{ end }}
{{ end }}
"""

_POD_ENDS = """
{{ $now := Now }}
phase: @phase
conditions:
- {type: ContainersReady, status: "False", reason: Pod@phase, lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "False", reason: Pod@phase, lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: 0
  state: {terminated: {exitCode: @code, reason: @reason, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
{{ end }}
"""


def configuration() -> str:
    """The file for `kwok --config`."""
    fails = _POD_ENDS.replace("@phase", "Failed").replace("@code", "1").replace("@reason", "Error")
    succeeds = _POD_ENDS.replace("@phase", "Succeeded").replace("@code", "0").replace("@reason", "Completed")
    not_failing = [*_LIVES, _is(_FAILS, "false")]
    documents = [
        {
            "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
            "kind": "KwokConfiguration",
            "metadata": {"name": "kwok"},
            "options": {
                "podPlayStageParallelism": 8,
                "nodePlayStageParallelism": 4,
                "nodeLeaseParallelism": 4,
                "podsOnNodeSyncParallelism": 4,
            },
        },
        _stage("node-ready", "Node", _NODE_READY, [
            _is_not('.status.conditions[]? | select(.type == "Ready").status', "True")]),
        _stage("pod-ready", "Pod", _runs(containers=True, ready=True), [
            *not_failing, _is(_HELD, "false"), _is(_GATES_OPEN, "true"), _is_not(_STATE, "Running/True/True")]),
        _stage("pod-gated", "Pod", _runs(containers=True, ready=False), [
            *not_failing, _is(_HELD, "false"), _is(_GATES_OPEN, "false"), _is_not(_STATE, "Running/True/False")]),
        _stage("pod-not-ready", "Pod", _runs(containers=False, ready=False), [
            *not_failing, _is(_HELD, "true"), _is_not(_STATE, "Running/False/False")]),
        _stage("pod-fails", "Pod", fails, [*_LIVES, _is(_FAILS, "true")]),
        _stage("pod-succeeds", "Pod", succeeds, [
            *not_failing, _is(_JOB, "true"), _is(_STATE, "Running/True/True")]),
        _stage("pod-gone", "Pod", None, [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}]),
    ]  # fmt: skip
    return yaml.safe_dump_all(documents)


def _runs(*, containers: bool, ready: bool) -> str:
    status = _POD_RUNS.replace("@Containers", str(containers)).replace("@Ready", str(ready))
    return status.replace("@containers", str(containers).lower())


def _stage(name: str, kind: str, status: str | None, when: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": when},
            "next": {"delete": True} if status is None else {"statusTemplate": status},
        },
    }


def _is(query: str, value: str) -> Manifest:
    return {"key": query, "operator": "In", "values": [value]}


def _is_not(query: str, value: str) -> Manifest:
    return {"key": query, "operator": "NotIn", "values": [value]}
