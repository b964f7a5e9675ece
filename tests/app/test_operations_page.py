"""docs/operations.md says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic.alias_generators import to_camel
from tests.app.test_metrics import everything, scrape

from stowplan.api import cluster, common, policy
from stowplan.app import arguments, plugin_config, settings
from stowplan.app.section import Section
from stowplan.kube import resources

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def configuration() -> str:
    """The one block of YAML with all settings."""
    (block,) = (found for found in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if settings.KIND in found)
    text: str = block
    return text


def test_the_configuration_on_the_page_means_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(configuration())
    loaded = settings.load(file)
    assert loaded.model_copy(update={"plugin_config": ()}) == settings.Settings()
    assert arguments.profiles(loaded) == arguments.profiles(settings.Settings())


def test_the_configuration_on_the_page_has_every_field_and_every_plugin() -> None:
    written = yaml.safe_load(configuration())
    defaults = settings.Settings()
    assert written.keys() == defaults.model_dump(by_alias=True).keys()
    for name, section in defaults:
        if isinstance(section, Section):
            assert written[to_camel(name)].keys() == section.model_dump(by_alias=True).keys()
    assert {item["name"] for item in written["pluginConfig"]} == plugin_config.IN_TREE.keys() - {"PodTopologySpread"}
    for item in written["pluginConfig"]:
        fields = plugin_config.IN_TREE[item["name"]]().model_dump(by_alias=True)
        assert item["args"].keys() == fields.keys() - {"apiVersion", "kind"}


def test_the_profiles_on_the_page_can_be_made(tmp_path: Path) -> None:
    (block,) = (found for found in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if found.startswith("profiles:"))
    file = tmp_path / "config.yaml"
    file.write_text(f"apiVersion: {settings.API_VERSION}\nkind: {settings.KIND}\n{block}")
    first, second = arguments.profiles(settings.load(file))
    assert (first.scheduler_name, second.scheduler_name) == ("stowplan", "batch")
    assert not second.selection.rescuing


def test_every_metric_on_the_page_exists_and_every_one_of_ours_is_on_the_page() -> None:
    types, samples = scrape(everything())
    named = set(re.findall(r"\b((?:scheduler|stowplan)_[a-z_]+[a-z])\b", PAGE))
    assert named <= types.keys() | samples.keys()
    ours = {name + ("_total" if kind == "counter" else "") for name, kind in types.items()}
    assert {name for name in ours if not name.startswith("process_")} <= named


def test_the_kinds_on_the_page_are_those_that_explain_and_plan_read() -> None:
    named = set(",".join(re.findall(r"^KINDS=(?:\$KINDS,)?(\S+)$", PAGE, re.MULTILINE)).split(","))
    ours = {f"{plural}.{common.GROUP}" for plural in (policy.PLURAL, cluster.PLURAL)}
    read = {
        f"{each.plural}.{each.group}" if each.group else each.plural
        for each in (*resources.WATCHED, *resources.WORKLOADS)
    }
    assert named == read | ours


def test_the_flags_on_the_page_override_what_it_says() -> None:
    told = dict(re.findall(r"^\| `(--[a-z-]+)` \| `([A-Za-z.]+)` \|$", PAGE, re.MULTILINE))
    assert told == {flag: ".".join(field) for flag, field in settings.FLAGS.values()}
