"""docs/api-reference.md: the fields of every kind as tables, from the same schemas as the CRDs.

Called by ``scripts/generate.py``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence

from scripts import crd_schema
from scripts.crd_schema import INT_OR_STRING, PRESERVE, Json, Schema
from scripts.crds import Kind

from stowplan.api import common
from stowplan.reconcile import draining, specs

INTRODUCTION = f"""# API reference

Generated from `operator/stowplan/api` by `make generate`. The same texts are shown by `kubectl explain`.

API group `{common.GROUP}`, version `{common.VERSION}`; all kinds are namespaced and in the category `{common.CATEGORY}`
(`kubectl get {common.CATEGORY}`). A field without a default may be left out, except where it says *required*.
"""

NAMES = (
    (common.LABEL_CLUSTER, "label", "The StatefulCluster that a pod, claim, Service or budget belongs to."),
    (common.LABEL_NODE_SET, "label", "The node set of a member."),
    (common.LABEL_MEMBER, "label", "The ordinal of a member."),
    (common.LABEL_REVISION, "label", "The revision of the template that a member's pod was made from."),
    (f"{common.ROLE_LABEL_PREFIX}<role>", "label", 'On a member, with the value "true": a role of its node set.'),
    (
        common.ANNOTATION_POLICY,
        "annotation",
        "On a pod: the SchedulingPolicy that governs it. By the user; on a member from schedulingPolicyRef.",
    ),
    (common.ANNOTATION_WHY, "annotation", "On a bound pod: why this node, as compact JSON."),
    (common.ANNOTATION_FENCE, "annotation", "On a bound pod: holder and transitions of the lease it was bound under."),
    (
        common.ANNOTATION_GROWING,
        "annotation",
        "On a claim: to what size it grows while nobody uses it, and since when.",
    ),
    (specs.ANNOTATION_RELEASED, "annotation", "On a claim whose member was scaled away: whenScaled as it was then."),
    (specs.ANNOTATION_DRAIN, "annotation", "On a member: the drain of its node set, as JSON."),
    (specs.ANNOTATION_DRAINING, "annotation", "On a member that is to be removed: when it was first asked to drain."),
    (draining.DRAINED, "annotation", "On a member that is to be removed: it has answered that it is drained."),
)


def render(kinds: Sequence[Kind]) -> str:
    """The whole page, as Markdown."""
    return "\n".join([INTRODUCTION, *(line for kind in kinds for line in _kind(kind)), *_names()])


def _kind(kind: Kind) -> Iterator[str]:
    schema = crd_schema.structural(kind.model)
    yield f"## {kind.kind}\n"
    yield f"{inspect.cleandoc(kind.model.__doc__ or '')}\n"
    yield f"Short name: {', '.join(f'`{name}`' for name in kind.short_names)}. Columns of `kubectl get`:\n"
    yield "| Column | What it shows |"
    yield "|---|---|"
    for column in kind.columns:
        yield f"| {column.name}{' (`-o wide`)' if column.wide else ''} | {_cell(column.description)} |"
    yield ""
    if kind.scale:
        yield "It has the subresource `scale`, for `kubectl scale` and a HorizontalPodAutoscaler.\n"
    yield from _rules(schema)
    sections: dict[str, tuple[str, Schema]] = {}
    for part in ("spec", "status"):
        _collect(f"{kind.kind}: {part}", _properties(schema)[part], sections)
    for heading, section in sections.values():
        yield from _section(heading, section, sections)


def _collect(heading: str, schema: Schema, sections: dict[str, tuple[str, Schema]]) -> None:
    """Give every object a section, in reading order; objects of one shape share that of the first."""
    if sections.setdefault(_shape(schema), (heading, schema))[0] != heading:
        return
    for name, field in _properties(schema).items():
        items = field.get("items")
        if "properties" in field:
            _collect(f"{heading}.{name}", field, sections)
        elif isinstance(items, dict) and "properties" in items:
            _collect(f"{heading}.{name}[]", items, sections)


def _shape(schema: Schema) -> str:
    return json.dumps({key: value for key, value in schema.items() if key not in {"description", "default"}})


def _section(heading: str, schema: Schema, sections: dict[str, tuple[str, Schema]]) -> Iterator[str]:
    yield f"### {heading}\n"
    if isinstance(text := schema.get("description"), str):
        yield f"{_cell(text)}\n"
    required = schema.get("required", [])
    yield "| Field | Type | Default | Description |"
    yield "|---|---|---|---|"
    for name, field in _properties(schema).items():
        default = "*required*" if isinstance(required, list) and name in required else _default(field)
        yield f"| `{name}` | {_type(field, sections)} | {default} | {_cell(str(field.get('description', '')))} |"
    yield ""
    yield from _rules(schema)


def _rules(schema: Schema) -> Iterator[str]:
    rules = schema.get("x-kubernetes-validations")
    if not isinstance(rules, list):
        return
    yield "Refused by the API server with one of these messages:\n"
    for rule in rules:
        if isinstance(rule, dict):
            field = str(rule.get("fieldPath", "")).lstrip(".")
            yield f"- {f'`{field}`: ' if field else ''}{_cell(str(rule['message']))}"
    yield ""


def _type(schema: Schema, sections: dict[str, tuple[str, Schema]]) -> str:
    items, values = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, dict):
        bound = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"list of {_type(items, sections)}{bound}"
    if isinstance(values, dict):
        return f"map of {_type(values, sections)}"
    if "properties" in schema:
        return f"[object](#{_anchor(sections[_shape(schema)][0])})"
    if isinstance(choices := schema.get("enum"), list):
        return " \\| ".join(f"`{choice}`" for choice in choices)
    if schema.get(INT_OR_STRING):
        return "integer or string"
    if schema.get(PRESERVE):
        return "object"
    return str(schema["type"]) + _range(schema)


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", at least {low}" if low is not None else ""


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None or default == {}:
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _anchor(heading: str) -> str:
    """The anchor that Markdown renderers give a heading."""
    kept = "".join(character for character in heading.lower() if character.isalnum() or character in " -")
    return kept.replace(" ", "-")


def _cell(text: str) -> str:
    """Text as it stands in a table: angle brackets are not HTML."""
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _names() -> Iterator[str]:
    yield "## Labels and annotations\n"
    yield "| Name | Kind | Meaning |"
    yield "|---|---|---|"
    for name, kind, meaning in NAMES:
        yield f"| `{name}` | {kind} | {_cell(meaning)} |"
    yield ""


def _properties(schema: Schema) -> dict[str, Schema]:
    return {name: field for name, field in _as_mapping(schema.get("properties")).items() if isinstance(field, dict)}


def _as_mapping(value: Json) -> Schema:
    return value if isinstance(value, dict) else {}
