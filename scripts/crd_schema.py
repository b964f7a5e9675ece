"""From a pydantic model to the structural OpenAPI v3 schema that a CustomResourceDefinition takes.

Called by ``scripts/crds.py``. A structural schema has no references, says the type of every node once, and
knows null only as ``nullable``; source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/structural.go.
"""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Schema: TypeAlias = "dict[str, Json]"

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"

_KEPT = (
    "description", "type", "format", "default", "enum", "minimum", "maximum", "pattern", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "nullable", "required",
    PRESERVE, INT_OR_STRING, "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
)  # fmt: skip
"""What passes from pydantic's schema into ours, in the order in which it is written."""


def structural(model: type[BaseModel]) -> Schema:
    """The schema of a whole object: apiVersion, kind, metadata, spec and status.

    Defaults of the status are left out, because the API server would write them where the controller has not.
    """
    generated = model.model_json_schema(by_alias=True)
    definitions = generated.pop("$defs", {})
    root = _node(generated, definitions)
    properties = _mapping(root["properties"])
    properties["apiVersion"] = {"type": "string", "description": "The version of this schema: stowplan.dev/v1alpha1."}
    properties["kind"] = {"type": "string", "description": "The kind of this object."}
    properties["metadata"] = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}}
    _drop_defaults(properties["status"])
    root["required"] = ["metadata", "spec"]
    return root


def _node(source: Schema, definitions: Schema) -> Schema:
    flat = _flatten(source, definitions)
    node: Schema = {key: flat[key] for key in _KEPT if key in flat}
    if isinstance(text := node.get("description"), str):
        node["description"] = " ".join(text.split())
    if "const" in flat:
        node["enum"] = [flat["const"]]
    if node.get(INT_OR_STRING):
        node.pop("type", None)
        if "pattern" in node:  # as a rule with a message: a pattern is all that the API server would say
            rule = f"type(self) == int || self.matches(r'{node.pop('pattern')}')"
            node["x-kubernetes-validations"] = [{"rule": rule, "message": f"must be {flat['wanted']}"}]
    if "items" in flat:
        node["items"] = _node(_mapping(flat["items"]), definitions)
    if "properties" in flat:
        node["properties"] = {
            name: _node(_mapping(value), definitions) for name, value in _mapping(flat["properties"]).items()
        }
    elif isinstance(flat.get("additionalProperties"), dict):
        values = _node(_mapping(flat["additionalProperties"]), definitions)
        node.update({"additionalProperties": values} if values else {PRESERVE: True})
    _settle_default(node)
    return node


def _flatten(source: Schema, definitions: Schema) -> Schema:
    """Resolve references and unions, until what is left says its own type; what is said outside wins over inside."""
    flat = dict(source)
    while True:
        if isinstance(reference := flat.pop("$ref", None), str):
            flat = {**_mapping(definitions[reference.rsplit("/", 1)[1]]), **flat}
        elif isinstance(choices := flat.pop("anyOf", None), list):
            for choice in choices:
                if choice != {"type": "null"}:
                    flat = {**_mapping(choice), **flat}
        else:
            return flat


def _settle_default(node: Schema) -> None:
    """Keep defaults that say something; those inside an object are said by its own fields.

    An object gets ``default: {}`` where its fields have defaults, so that the API server fills them in.
    """
    default = node.get("default")
    if "properties" in node and default is not None:
        fields = _mapping(node["properties"]).values()
        default = {} if any("default" in _mapping(field) for field in fields) else None
    elif default in ([], {}, ""):
        default = None
    node.pop("default", None)
    if default is not None:
        node["default"] = default


def _drop_defaults(schema: Json) -> None:
    if not isinstance(schema, dict):
        return
    schema.pop("default", None)
    for field in _mapping(schema.get("properties", {})).values():
        _drop_defaults(field)
    for inner in ("items", "additionalProperties"):
        _drop_defaults(schema.get(inner))


def _mapping(value: Json) -> Schema:
    if not isinstance(value, dict):
        raise TypeError(f"not an object in a JSON schema: {value!r}")
    return value
