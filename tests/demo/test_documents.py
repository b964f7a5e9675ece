"""What users copy first: the examples, and the YAML and the links of the README."""

from __future__ import annotations

import re

import pytest
import yaml
from tests.controlplane.nodes import Manifest
from tests.demo.stage import EXAMPLES, ROOT

from stowplan.api.checks import validate
from stowplan.api.cluster import StatefulCluster
from stowplan.api.policy import SchedulingPolicy

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def documents() -> list[Manifest]:
    texts = [*(path.read_text() for path in EXAMPLES), *BLOCKS]
    return [document for text in texts for document in yaml.safe_load_all(text)]


@pytest.mark.parametrize(
    "document", [pytest.param(each, id=f"{each['kind']} {n}") for n, each in enumerate(documents())]
)
def test_what_is_shown_is_valid(document: Manifest) -> None:
    if document["kind"] == "SchedulingPolicy":
        SchedulingPolicy.model_validate(document)
    else:
        spec = StatefulCluster.model_validate(document).spec
        assert not validate(document["metadata"]["name"], spec)


def test_both_kinds_are_shown_in_the_examples_and_in_the_readme() -> None:
    kinds = [document["kind"] for document in documents()]
    assert kinds == ["SchedulingPolicy", "StatefulCluster"] * 2


def test_the_links_of_the_readme_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
