from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from scripts import crd_schema, crds, generate, reference
from scripts.crds import Kind
from tests.api import objects
from tests.api.objects import Object

KINDS = [pytest.param(kind, id=kind.kind) for kind in crds.KINDS]


def nodes(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    """Every schema inside a schema, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def schema_of(kind: Kind) -> Object:
    loaded: Object = yaml.safe_load(yaml.safe_dump(crd_schema.structural(kind.model)))
    return loaded


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_description(kind: Kind) -> None:
    found = schema_of(kind)
    silent = [
        path
        for path, node in nodes(found)
        if path and not path.startswith("metadata") and not path.endswith(("[]", "{}")) and not node.get("description")
    ]
    assert silent == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_list_and_map_of_the_spec_is_bounded_so_that_rules_have_a_cost(kind: Kind) -> None:
    handed_on = ("spec.nodeSets[].template.spec.containers",)
    loose = [
        path
        for path, node in nodes(schema_of(kind))
        if path.startswith("spec") and path not in handed_on and not path.endswith("annotations")
        if ("items" in node and "maxItems" not in node)
        or ("additionalProperties" in node and "maxProperties" not in node)
    ]
    assert loose == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_status_has_no_defaults_because_only_the_controller_writes_it(kind: Kind) -> None:
    assert [path for path, node in nodes(schema_of(kind)) if path.startswith("status") and "default" in node] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_that_users_know_is_there(kind: Kind) -> None:
    known = dict(nodes(schema_of(kind)))

    def walk(value: object, path: str) -> Iterator[str]:
        if isinstance(value, dict) and "additionalProperties" not in known[path]:
            for name, field in value.items():
                yield f"{path}.{name}"
                if f"{path}.{name}" in known:
                    yield from walk(field, f"{path}.{name}")
        elif isinstance(value, list):
            for item in value:
                yield from walk(item, f"{path}[]")

    example = objects.contract(kind.kind)
    wanted = {path for part in ("spec", "status") for path in walk(example[part], part)}
    assert wanted - set(known) == set()
    assert len(wanted) > 30


@pytest.mark.parametrize("kind", KINDS)
def test_the_columns_read_fields_that_are_there(kind: Kind) -> None:
    known = {path.replace("[]", "") for path, _ in nodes(schema_of(kind))}
    for column in kind.columns:
        plain = column.path.removeprefix(".").replace('[?(@.type=="Ready")]', "")
        assert plain in known | {"metadata.creationTimestamp"}


def test_names_subresources_and_columns_are_those_of_the_contract() -> None:
    policy, cluster = (crds.definition(kind)["spec"] for kind in crds.KINDS)
    assert isinstance(policy, dict)
    assert isinstance(cluster, dict)
    assert policy["names"] == {
        "kind": "SchedulingPolicy", "listKind": "SchedulingPolicyList", "plural": "schedulingpolicies",
        "singular": "schedulingpolicy", "shortNames": ["schpol"], "categories": ["stowplan"],
    }  # fmt: skip
    assert cluster["names"] == {
        "kind": "StatefulCluster", "listKind": "StatefulClusterList", "plural": "statefulclusters",
        "singular": "statefulcluster", "shortNames": ["stc"], "categories": ["stowplan"],
    }  # fmt: skip


def test_every_label_and_annotation_of_ours_is_in_the_reference() -> None:
    said = r'^[A-Z_]+(?:: Final)? = f"\{(?:common\.)?GROUP\}/([a-z-]+)"'
    sources = (path.read_text() for path in (generate.ROOT / "operator" / "stowplan").rglob("*.py"))
    used = {f"stowplan.dev/{name}" for source in sources for name in re.findall(said, source, re.MULTILINE)}
    assert used - {"stowplan.dev/operator"} == {name for name, _, _ in reference.NAMES if "<" not in name}


def test_what_is_committed_is_fresh() -> None:
    assert generate.stale(generate.ROOT, generate.generated()) == []


def test_a_fresh_tree_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([], root=tmp_path) == 0
    assert "written: crds/schedulingpolicies.yaml" in capsys.readouterr().out
    assert generate.main(["--check"], root=tmp_path) == 0
    assert generate.main([], root=tmp_path) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "path",
    [
        "crds/schedulingpolicies.yaml",
        "crds/statefulclusters.yaml",
        "charts/stowplan/crds/schedulingpolicies.yaml",
        "charts/stowplan/crds/statefulclusters.yaml",
        "docs/api-reference.md",
    ],
)
@pytest.mark.parametrize("damage", ["edited", "missing"])
def test_a_stale_file_fails_the_check_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, damage: str
) -> None:
    generate.main([], root=tmp_path)
    capsys.readouterr()
    if damage == "edited":
        (tmp_path / path).write_text((tmp_path / path).read_text() + "# by hand\n")
    else:
        (tmp_path / path).unlink()
    assert generate.main(["--check"], root=tmp_path) == 1
    assert capsys.readouterr().err == f"stale: {path}: run `make generate` and commit the result\n"
    assert generate.main([], root=tmp_path) == 0
    assert generate.main(["--check"], root=tmp_path) == 0


def test_a_crd_of_a_kind_that_is_gone_is_stale_and_taken_away(tmp_path: Path) -> None:
    generate.main([], root=tmp_path)
    left = tmp_path / "crds" / "oldkinds.yaml"
    left.write_text("kind: CustomResourceDefinition\n")
    assert generate.main(["--check"], root=tmp_path) == 1
    assert generate.main([], root=tmp_path) == 0
    assert not left.exists()


def test_the_reference_names_every_field_and_its_links_lead_somewhere() -> None:
    page = generate.generated()[generate.REFERENCE]
    headings = {
        "".join(c for c in line.lstrip("# ").lower() if c.isalnum() or c in " -").replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("#")
    }
    links = {link.split(")")[0] for link in page.split("](#")[1:]}
    assert links
    assert links <= headings
    for kind in crds.KINDS:
        for path, _ in nodes(schema_of(kind)):
            if path.startswith(("spec.", "status.")) and not path.endswith(("[]", "{}")):
                assert f"| `{path.rsplit('.', 1)[1]}` |" in page
