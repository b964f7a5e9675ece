"""Kubernetes objects out of text: YAML or JSON, one or many documents, single objects or lists.

Reads what ``kubectl get … -o json`` and ``-o yaml`` print and what users write by hand. Kinds that scheduling does not
look at are passed over. What an API server would have filled in (the namespace, a uid, requests from limits, the
priority of a class, the default StorageClass) is filled in here, so that a manifest is judged as the object it becomes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, cast

import msgspec
import yaml

from stowplan import errors
from stowplan.api import base, cluster, common, policy
from stowplan.framework import storage
from stowplan.model import objects, workloads

DEFAULT_NAMESPACE: Final = "default"
"""Of objects that name none."""


@dataclasses.dataclass(slots=True)
class Manifests:
    """What was read, by kind.

    Attributes:
        objects: everything that the scheduler watches, in the order read.
        policies: SchedulingPolicies.
        clusters: StatefulClusters.
        labelled: objects of any kind that carry a StatefulCluster's label, as they were read.
    """

    objects: list[objects.KubeObject] = dataclasses.field(default_factory=list)
    policies: list[policy.SchedulingPolicy] = dataclasses.field(default_factory=list)
    clusters: list[cluster.StatefulCluster] = dataclasses.field(default_factory=list)
    labelled: list[Mapping[str, object]] = dataclasses.field(default_factory=list)


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML as Kubernetes reads it: a timestamp is text, as is everything but numbers, truth values and null."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(sources: Iterable[tuple[str, bytes]]) -> Manifests:
    """Reads all sources as one state.

    Args:
        sources: (name for messages, content) of each.

    Raises:
        UsageError: something is not YAML or JSON, or an object cannot be understood; one line names the source, the
            object and the field.
    """
    found = Manifests()
    for name, content in sources:
        for document in _documents(name, content):
            for item in _items(name, document):
                _take(found, name, item)
                if _labelled(item):
                    found.labelled.append(item)
    _fill_in(found.objects)
    return found


def add(found: Manifests, made: Iterable[dict[str, object]]) -> None:
    """Adds objects that nobody has written, as if they had been read last."""
    for item in made:
        _take(found, "made", item)
    _fill_in(found.objects)


def _fill_in(found: list[objects.KubeObject]) -> None:
    """What the API server would take from other objects."""
    _default_priorities(found)
    _default_classes(found)


_JSON = re.compile(rb'\s*[{\[][\s{\[]*["}\]]')
"""How JSON begins that is no YAML in braces: with a quoted key, or with nothing in it."""


_BREAK = re.compile(r"\A\s*(?:---(?:\s+|\Z))*")
"""What may stand before a document."""


def _documents(name: str, content: bytes) -> Iterator[object]:
    if _JSON.match(content):
        yield from _json_documents(name, content)
        return
    try:
        yield from yaml.load_all(content, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise errors.UsageError(f"{name}: not YAML{where}: {problem}") from error


def _json_documents(name: str, content: bytes) -> Iterator[object]:
    """One document, or several, as commands print that write to one pipe; between them ``---``, or nothing."""
    try:
        yield msgspec.json.decode(content)
    except msgspec.DecodeError:
        yield from _json_stream(name, content)


def _json_stream(name: str, content: bytes) -> Iterator[object]:
    decoder = json.JSONDecoder()
    try:
        text = content.decode()
        while text := _BREAK.sub("", text):
            document, end = decoder.raw_decode(text)
            yield document
            text = text[end:]
    except ValueError as error:
        raise errors.UsageError(f"{name}: not JSON: {error}") from error


def _items(name: str, document: object) -> Iterator[dict[str, object]]:
    """The objects of a document: itself, or the items of a List, however deep."""
    if document is None:
        return
    if isinstance(document, list):
        for item in document:
            yield from _items(name, item)
        return
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise errors.UsageError(f"{name}: expected Kubernetes objects with apiVersion and kind")
    if document["kind"].endswith("List") and "items" in document:
        kind = document["kind"].removesuffix("List")
        for item in document["items"] or []:
            typed = {"apiVersion": document.get("apiVersion"), "kind": kind} if kind else {}
            yield from _items(name, {**typed, **item} if isinstance(item, dict) else item)
        return
    if not isinstance(document.get("apiVersion"), str):
        raise errors.UsageError(f"{name}: {document['kind']}: apiVersion: is required")
    yield cast("dict[str, object]", _without_nulls(document))


def _without_nulls(value: object) -> object:
    """An explicit null is an absent field, as for the API server."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def _take(found: Manifests, source: str, item: dict[str, object]) -> None:
    version, kind = str(item.get("apiVersion", "")), str(item["kind"])
    metadata = item.get("metadata")
    named = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
    what = f"{source}: {kind} {named}".rstrip()
    if version == common.API_VERSION and kind in (policy.KIND, cluster.KIND):
        _take_ours(found, what, kind, item)
        return
    if version.partition("/")[0] == common.GROUP:
        known = f"{policy.KIND} and {cluster.KIND} of {common.API_VERSION}"
        raise errors.UsageError(f"{what}: {version} is unknown here; there are {known}")
    type_ = objects.KINDS.get((version, kind)) or workloads.KINDS.get((version, kind))
    if type_ is None:
        return
    try:
        decoded = msgspec.convert(item, type_)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$.")
        raise errors.UsageError(f"{what}: {where.rstrip('`') or 'object'}: {problem}") from error
    if not decoded.metadata.name:
        raise errors.UsageError(f"{what}: metadata.name: is required")
    _default(decoded)
    found.objects.append(decoded)


def _labelled(item: Mapping[str, object]) -> bool:
    metadata = item.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return isinstance(labels, Mapping) and common.LABEL_CLUSTER in labels


def _take_ours(found: Manifests, what: str, kind: str, item: dict[str, object]) -> None:
    metadata = item.get("metadata")
    if isinstance(metadata, dict) and not metadata.get("namespace"):
        item = {**item, "metadata": {**metadata, "namespace": DEFAULT_NAMESPACE}}
    try:
        if kind == policy.KIND:
            found.policies.append(base.parse(policy.SchedulingPolicy, item, what=what))
        else:
            found.clusters.append(base.parse(cluster.StatefulCluster, item, what=what))
    except errors.InvalidObject as error:
        raise errors.UsageError(str(error)) from error


_CLUSTER_SCOPED = (
    objects.Node,
    objects.Namespace,
    objects.PersistentVolume,
    objects.StorageClass,
    objects.CSINode,
    objects.CSIDriver,
    objects.VolumeAttachment,
    objects.PriorityClass,
)


def _default(item: objects.KubeObject) -> None:
    """What the API server fills in. Source: kubernetes v1.36.3 ``pkg/apis/core/v1/defaults.go``."""
    meta = item.metadata
    if not meta.namespace and not isinstance(item, _CLUSTER_SCOPED):
        meta.namespace = DEFAULT_NAMESPACE
    if not meta.uid:
        meta.uid = f"{type(item).__name__}/{item.key}"
    match item:
        case objects.Pod():
            spec = item.spec
            for container in (*spec.containers, *spec.init_containers):
                container.resources.requests = {**container.resources.limits, **container.resources.requests}
            if spec.resources is not None:
                spec.resources.requests = {**spec.resources.limits, **spec.resources.requests}
        case objects.Node():
            if not item.status.allocatable:
                item.status.allocatable = dict(item.status.capacity)


def _default_priorities(items: list[objects.KubeObject]) -> None:
    """``spec.priority`` of pods that name a class only, as the Priority admission plugin sets it."""
    classes = {each.metadata.name: each for each in items if isinstance(each, objects.PriorityClass)}
    fallback = next((each for each in classes.values() if each.global_default), None)
    for item in items:
        if isinstance(item, objects.Pod) and item.spec.priority == 0:
            named = classes.get(item.spec.priority_class_name) if item.spec.priority_class_name else fallback
            if named is not None:
                item.spec.priority = named.value
                item.spec.preemption_policy = item.spec.preemption_policy or named.preemption_policy


_IS_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _default_classes(items: list[objects.KubeObject]) -> None:
    """The StorageClass of unbound claims that name none: of the default ones the newest, then the first by name.

    Source: kubernetes v1.36.3 ``plugin/pkg/admission/storage/storageclass/setdefault/admission.go`` and
    ``pkg/volume/util/storageclass.go``.
    """
    classes = [
        each
        for each in items
        if isinstance(each, objects.StorageClass)
        and any(each.metadata.annotations.get(key) == "true" for key in _IS_DEFAULT)
    ]
    if not classes:
        return
    newest = max(each.metadata.creation_timestamp for each in classes)
    default = min(each.metadata.name for each in classes if each.metadata.creation_timestamp == newest)
    for item in items:
        if isinstance(item, objects.PersistentVolumeClaim) and not item.spec.volume_name:
            named = item.spec.storage_class_name is not None or storage.BETA_STORAGE_CLASS in item.metadata.annotations
            if not named:
                item.spec.storage_class_name = default
