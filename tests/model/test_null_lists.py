"""Go writes null for an empty list whose JSON tag has no omitempty, and so does the API server."""

from __future__ import annotations

import msgspec
import pytest
from tests.builders import node, snapshot

from stowplan.model import objects


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        pytest.param(objects.CSINode, b'{"spec": {"drivers": null}}', id="a node without CSI drivers"),
        pytest.param(
            objects.CSINode,
            b'{"spec": {"drivers": [{"name": "csi.example.com", "nodeID": "n", "topologyKeys": null}]}}',
            id="a driver without topology",
        ),
        pytest.param(objects.Node, b'{"status": {"images": [{"names": null}]}}', id="an image without a name"),
    ],
)
def test_a_null_list_can_be_read(kind: type[objects.KubeObject], written: bytes) -> None:
    assert isinstance(msgspec.json.decode(written, type=kind), kind)


def test_a_node_without_csi_drivers_has_no_limit() -> None:
    nodes = snapshot([node("n")], storage=[objects.CSINode(metadata=objects.ObjectMeta(name="n"))])
    assert nodes.volumes.limits.column("csi.example.com", nodes) is None


def test_an_image_without_a_name_is_passed_over() -> None:
    raw = node("n", images={"app:1": 1})
    raw.status.images.append(objects.ContainerImage(size_bytes=1))
    nodes = snapshot([raw])
    assert nodes.image("app:1").tolist() == [1]
