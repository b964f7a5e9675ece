"""The CustomResourceDefinitions: names, columns and subresources around the schemas of the models.

Called by ``scripts/generate.py`` and, for the tables, by ``scripts/reference.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel
from scripts import crd_schema
from scripts.crd_schema import Json, Schema

from stowplan.api import cluster, common, policy


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of ``kubectl get``; ``wide`` ones appear with ``-o wide`` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One custom resource."""

    model: type[BaseModel]
    kind: str
    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    scale: bool = False

    @property
    def name(self) -> str:
        """The name of the CRD."""
        return f"{self.plural}.{common.GROUP}"


AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date", description="Time since it was made.")

KINDS = (
    Kind(
        model=policy.SchedulingPolicy,
        kind=policy.KIND,
        plural=policy.PLURAL,
        short_names=policy.SHORT_NAMES,
        columns=(
            Column(name="Mode", path=".spec.mode", description="Whether the policy decides or is only evaluated."),
            Column(
                name="Ready",
                path='.status.conditions[?(@.type=="Ready")].status',
                description="Whether the policy is in force.",
            ),
            Column(name="Pods", path=".status.summary.pods", description="Bound and governed pods."),
            Column(
                name="Violations",
                path=".status.violations",
                type="integer",
                description="How often running pods break its rules.",
            ),
            AGE,
            Column(
                name="Reason",
                path=".status.summary.reason",
                wide=True,
                description="The reason of the first condition that is not as it should be.",
            ),
        ),
    ),
    Kind(
        model=cluster.StatefulCluster,
        kind=cluster.KIND,
        plural=cluster.PLURAL,
        short_names=cluster.SHORT_NAMES,
        scale=True,
        columns=(
            Column(name="Ready", path=".status.summary.ready", description="Ready and wanted members."),
            Column(
                name="Updated",
                path=".status.updatedReplicas",
                type="integer",
                description="Members that have the template of the spec.",
            ),
            Column(
                name="Survives",
                path=".status.summary.survives",
                description="Failure domains of which any single one may fail.",
            ),
            Column(
                name="Policy",
                path=".spec.schedulingPolicyRef.name",
                description="The SchedulingPolicy that the cluster names.",
            ),
            AGE,
        ),
    ),
)


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of ``kind``."""
    subresources: Schema = {"status": {}}
    if kind.scale:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.name, "labels": {"app.kubernetes.io/part-of": "stowplan"}},
        "spec": {
            "group": common.GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": list(kind.short_names),
                "categories": [common.CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": common.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "subresources": subresources,
                    "schema": {"openAPIV3Schema": crd_schema.structural(kind.model)},
                }
            ],
        },
    }


def _column(column: Column) -> Json:
    shown: Schema = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    return {**shown, "priority": 1} if column.wide else shown
