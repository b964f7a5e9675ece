"""Objects of our kinds by chance, made from the models' own JSON schemas.

Every part is judged by its model on the way, so that most wholes keep the rules; names of failure domains come from a
fixed list, or no rule would ever name a declared one.
"""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import strategies as st
from pydantic import ValidationError
from tests.api.objects import Object

from stowplan.api import cluster, common, core, policy, policy_status
from stowplan.api.base import ApiModel

Values: TypeAlias = "st.SearchStrategy[object]"

_MODELS: dict[str, type[ApiModel]] = {
    name: value
    for module in (common, core, policy, policy_status, cluster)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, ApiModel)
}
_DOMAINS = [{"name": name, "topologyKey": f"example.com/{name}"} for name in ("zone", "rack", "host")]
_FIXED: dict[str, Values] = {
    "failureDomains": st.just(_DOMAINS),
    "domain": st.sampled_from(["zone", "rack", "host"]),
    "within": st.sampled_from([None, "zone", "rack"]),
    "containers": st.just([{"name": "db", "image": "db:1"}]),
}


def objects(model: type[ApiModel]) -> st.SearchStrategy[Object]:
    """JSON of `model` that it accepts."""
    schema = model.model_json_schema()
    return _object(model, schema, schema.get("$defs", {}))


def _object(model: type[ApiModel], schema: Object, definitions: Object) -> st.SearchStrategy[Object]:
    def accepted(value: Object) -> bool:
        try:
            model.model_validate(value)
        except ValidationError:
            return False
        return True

    fields = {
        name: _FIXED[name] if name in _FIXED else _values(field, definitions)
        for name, field in schema["properties"].items()
        if name != "metadata" or model not in (policy.SchedulingPolicy, cluster.StatefulCluster)
    }
    if len(fields) < len(schema["properties"]):
        fields["metadata"] = st.just({"name": "orders", "namespace": "prod", "generation": 3})
    required = {name: fields[name] for name in schema.get("required", [])}
    optional = {name: field for name, field in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional).filter(accepted)


def _values(schema: Object, definitions: Object) -> Values:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _object(_MODELS[name], definitions[name], definitions)
    if "anyOf" in schema:
        return st.one_of([_values(choice, definitions) for choice in schema["anyOf"]])
    for word in ("const", "enum"):
        if word in schema:
            return st.sampled_from([schema[word]] if word == "const" else schema[word])
    match schema.get("type"):
        case "array":
            items = _values(schema["items"], definitions)
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=2)
        case "object":
            names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
            return st.dictionaries(names, _values(schema["additionalProperties"], definitions), max_size=2)
        case "integer":
            return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31))
        case "boolean":
            return st.booleans()
        case "string" if schema.get("format") == "date-time":
            return st.just("2026-01-01T12:00:00Z")
        case "string" if "pattern" in schema:
            longest = schema.get("maxLength", 1000)
            return st.from_regex(schema["pattern"], fullmatch=True).filter(lambda text: len(text) <= longest)
        case "string":
            return st.text(min_size=schema.get("minLength", 0), max_size=min(20, schema.get("maxLength", 20)))
        case _:
            return st.none()
