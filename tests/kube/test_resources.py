"""Paths and what they ask for."""

from __future__ import annotations

import pytest

from stowplan.kube import resources


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("/api/v1/pods", "pods", id="all of a kind"),
        pytest.param("/api/v1/namespaces/prod/pods", "pods", id="of a namespace"),
        pytest.param("/api/v1/namespaces/prod/pods/db-0", "pods", id="one"),
        pytest.param("/api/v1/namespaces/prod/pods/db-0/binding", "pods/binding", id="subresource"),
        pytest.param("/api/v1/nodes/n1", "nodes", id="one without a namespace"),
        pytest.param("/api/v1/namespaces", "namespaces", id="namespaces"),
        pytest.param("/api/v1/namespaces/prod", "namespaces", id="a namespace"),
        pytest.param("/apis/policy/v1/namespaces/prod/poddisruptionbudgets", "poddisruptionbudgets", id="of a group"),
        pytest.param("/apis/storage.k8s.io/v1/csinodes/n1", "csinodes", id="of a group, without a namespace"),
        pytest.param("/api/v1/pods?watch=1&fieldSelector=a/b", "pods", id="query"),
        pytest.param("/apis/stowplan.dev/v1alpha1", "none", id="discovery"),
        pytest.param("/version", "none", id="no resource"),
    ],
)
def test_a_path_names_its_resource_as_rbac_does(path: str, name: str) -> None:
    assert resources.named(path) == name
