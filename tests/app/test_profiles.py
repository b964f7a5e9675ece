"""The profiles of the configuration become plugins, or one line that says which profile and which plugin is wrong."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import msgspec
import pydantic
import pytest
import yaml

from stowplan import errors
from stowplan.app import arguments, plugins, settings
from stowplan.framework.plugin import CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Reject
from stowplan.model.pods import PodInfo
from stowplan.plugins import args as plugin_args
from stowplan.profiles import PluginArgs, in_tree

Install = Callable[..., None]
"""`install(DiskType=DiskType)` registers factories as a package would; `package="other"` as another one."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def register(package: str = "plugins-of-a-test", **factories: object) -> None:
        module = ModuleType(package.replace("-", "_"))
        for name, factory in factories.items():
            setattr(module, name, factory)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        folder = tmp_path / f"{module.__name__}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {module.__name__}:{name}" for name in factories]
        (folder / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]))
        plugins.installed.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    yield register
    plugins.installed.cache_clear()


def profiles(text: str) -> tuple[PluginArgs, ...]:
    raw = {"apiVersion": settings.API_VERSION, "kind": settings.KIND, **yaml.safe_load(text)}
    return arguments.profiles(settings.Settings.model_validate(raw, by_alias=True, by_name=False))


class Quiet:
    """A plugin without arguments."""

    name = "Quiet"

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        yield from ()


@dataclasses.dataclass(frozen=True)
class AsDataclass:
    label: str
    weight: int = 1

    def __post_init__(self) -> None:
        if self.weight > 9:
            raise ValueError("weight must not be more than 9")


class AsStruct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    label: str
    weight: int = 1


class AsModel(pydantic.BaseModel, extra="forbid", strict=True):
    label: str
    weight: int = 1


def taking(kind: type) -> type:
    class Taking(Quiet):
        name = "Taking"
        Args = kind

        def __init__(self, args: object) -> None:
            self.args = args

    return Taking


ENABLED = "profiles: [{schedulerName: s, plugins: {multiPoint: {enabled: [{name: %s}]}}, pluginConfig: [%s]}]"


def test_a_file_that_says_nothing_is_one_profile_with_everything_by_default() -> None:
    (only,) = profiles("{}")
    assert only == PluginArgs()
    assert only.selection == in_tree.BY_DEFAULT


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        pytest.param("{}", True, id="kube-scheduler's defaults"),
        pytest.param("pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List}}]", False, id="none"),
        pytest.param(
            "profiles: [{schedulerName: s, plugins: {multiPoint: {disabled: [{name: PodTopologySpread}]}}}]",
            False,
            id="a plugin that is off",
        ),
        pytest.param(
            "profiles: [{schedulerName: a, pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List}}]}, "
            "{schedulerName: b}]",
            True,
            id="in one of two profiles",
        ),
    ],
)
def test_services_and_controllers_are_watched_where_default_constraints_ask_about_them(text: str, reads: bool) -> None:
    assert arguments.reads_workloads(profiles(text)) == reads


def test_arguments_reach_the_plugins_of_their_profile_alone() -> None:
    one, other = profiles("""
profiles:
- schedulerName: one
  pluginConfig:
  - {name: InterPodAffinity, args: {hardPodAffinityWeight: 7, ignorePreferredTermsOfExistingPods: true}}
  - {name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu}, {name: nvidia.com/gpu}]}}
  - name: NodeResourcesFit
    args:
      ignoredResources: [example.com/license]
      ignoredResourceGroups: [example.org]
      scoringStrategy:
        type: RequestedToCapacityRatio
        resources: [{name: cpu, weight: 0}]
        requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}
  - {name: VolumeBinding, args: {shape: [{utilization: 0, score: 0}, {utilization: 50, score: 3}]}}
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: [db]}]}]
        preferredDuringSchedulingIgnoredDuringExecution:
        - {weight: 5, preference: {matchExpressions: [{key: disk, operator: Exists}]}}
- schedulerName: other
""")
    assert other == PluginArgs(scheduler_name="other")
    assert one.inter_pod_affinity.hard_pod_affinity_weight == 7
    assert one.inter_pod_affinity.ignore_preferred_terms_of_existing_pods
    assert [each.name for each in one.balanced.resources] == ["cpu", "nvidia.com/gpu"]
    assert one.fit == plugin_args.FitArgs(
        ignored_resources=frozenset({"example.com/license"}),
        ignored_resource_groups=frozenset({"example.org"}),
        strategy=plugin_args.Strategy.REQUESTED_TO_CAPACITY_RATIO,
        resources=(plugin_args.ResourceWeight("cpu", 1),),
        shape=(plugin_args.ShapePoint(0, 0), plugin_args.ShapePoint(100, 10)),
    )
    assert [each.score for each in one.volume_binding.shape] == [0, 3]
    (required,), ((weight, _),) = one.node_affinity.added_required, one.node_affinity.added_preferred
    assert (len(required.terms), weight) == (1, 5)


def test_plugins_are_enabled_disabled_and_weighted_per_profile() -> None:
    one, other = profiles("""
profiles:
- schedulerName: one
  plugins:
    multiPoint: {disabled: [{name: ImageLocality}]}
    score: {enabled: [{name: PodTopologySpread, weight: 8}]}
- schedulerName: other
""")
    assert "ImageLocality" not in one.selection.weights
    assert one.selection.weights["PodTopologySpread"] == 8
    assert other.selection == in_tree.BY_DEFAULT


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in (AsDataclass, AsStruct, AsModel)])
def test_a_plugin_by_others_gets_its_arguments(install: Install, kind: type) -> None:
    install(Taking=taking(kind))
    (found,) = profiles(ENABLED % ("Taking", "{name: Taking, args: {label: disk, weight: 4}}"))
    assert found.others.keys() == {"Taking"}
    assert getattr(found.others["Taking"], "args", None) == kind(label="disk", weight=4)
    assert "Taking" in found.selection.ruling


def test_a_plugin_that_nobody_names_is_not_imported(install: Install) -> None:
    def explode() -> None:
        raise AssertionError

    install(Unused=explode)
    (found,) = profiles("{}")
    assert found.others == {}


def test_each_profile_has_a_plugin_of_its_own(install: Install) -> None:
    install(Quiet=Quiet)
    one, other = profiles("""
profiles:
- {schedulerName: one, plugins: {filter: {enabled: [{name: Quiet}]}}}
- {schedulerName: other, plugins: {multiPoint: {enabled: [{name: Quiet}]}}}
""")
    assert one.others["Quiet"] is not other.others["Quiet"]


class Nameless:
    def filter(self) -> None: ...


class Idle:
    name = "Idle"


class Explodes:
    name = "Explodes"

    def __init__(self) -> None:
        raise OSError("no such\ndevice")


@pytest.mark.parametrize(
    ("name", "config", "complaint"),
    [
        pytest.param(
            "Misspelt", "", "plugins.multiPoint.enabled: there is no plugin Misspelt; there are", id="unknown"
        ),
        pytest.param("ADataclass", "", "plugin ADataclass: args: Object missing required field `label`", id="missing"),
        pytest.param(
            "ADataclass",
            "{name: ADataclass, args: {label: 5}}",
            "plugin ADataclass: args.label: Expected `str`, got `int`",
            id="type, dataclass",
        ),
        pytest.param(
            "ADataclass",
            "{name: ADataclass, args: {label: x, lable: y}}",
            "plugin ADataclass: args.lable: unknown field",
            id="unknown field, dataclass",
        ),
        pytest.param(
            "ADataclass",
            "{name: ADataclass, args: {label: x, weight: 10}}",
            "plugin ADataclass: args: weight must not be more than 9",
            id="rule of its own, dataclass",
        ),
        pytest.param(
            "AStruct",
            "{name: AStruct, args: {label: x, lable: y}}",
            "plugin AStruct: args: Object contains unknown field `lable`",
            id="unknown field, struct",
        ),
        pytest.param(
            "AModel",
            "{name: AModel, args: {label: 5, lable: y}}",
            "plugin AModel: args: label: should be a valid string, not 5; lable: unknown field",
            id="two mistakes, model",
        ),
        pytest.param(
            "Quiet", "{name: Quiet, args: {a: 1}}", "plugin Quiet: args: it takes no arguments", id="no arguments"
        ),
        pytest.param("Nameless", "", "plugin Nameless of package", id="no name"),
        pytest.param("Idle", "", "has none of the methods pre_filter, filter", id="no extension point"),
        pytest.param(
            "Explodes", "", "plugin Explodes of package plugins-of-a-test: OSError: no such device", id="raises"
        ),
        pytest.param(
            "Quiet",
            "{name: AModel, args: {label: x}}",
            "pluginConfig: AModel is not enabled, so its arguments mean nothing",
            id="arguments of a plugin that is off",
        ),
        pytest.param(
            "Quiet",
            "{name: Nothing}",
            "pluginConfig: no plugin Nothing takes arguments; these do: ADataclass",
            id="nobody",
        ),
        pytest.param(
            "Quiet",
            "{name: NodeName, args: {a: 1}}",
            "pluginConfig: NodeName takes no arguments",
            id="ours, without any",
        ),
    ],
)
def test_a_mistake_is_told_with_profile_and_plugin(install: Install, name: str, config: str, complaint: str) -> None:
    install(
        Quiet=Quiet, Nameless=Nameless, Idle=Idle, Explodes=Explodes,
        ADataclass=taking(AsDataclass), AStruct=taking(AsStruct), AModel=taking(AsModel),
    )  # fmt: skip
    with pytest.raises(errors.UsageError, match=re.escape(complaint)) as caught:
        profiles(ENABLED % (name, config))
    assert str(caught.value).startswith("profile s: ")
    assert "\n" not in str(caught.value)


def test_a_package_that_cannot_be_imported_is_named(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(Quiet=Quiet)
    monkeypatch.delitem(sys.modules, "plugins_of_a_test")
    with pytest.raises(errors.UsageError, match=r"plugin Quiet of package plugins-of-a-test: ModuleNotFoundError"):
        profiles(ENABLED % ("Quiet", ""))


@pytest.mark.parametrize(
    ("packages", "complaint"),
    [
        pytest.param({"one": "Quiet", "two": "Quiet"}, "plugin Quiet is in two packages: package one", id="twice"),
        pytest.param({"one": "NodeName"}, "plugin NodeName of package one: Stowplan has a plugin of that", id="ours"),
    ],
)
def test_a_name_belongs_to_one_package(install: Install, packages: Mapping[str, str], complaint: str) -> None:
    for package, name in packages.items():
        install(package, **{name: Quiet})
    with pytest.raises(errors.UsageError, match=complaint):
        profiles(ENABLED % ("Quiet", ""))
