"""What every API model is made of: the base class, scalar types with their schema, and CEL rules beside their twins.

Called by the other modules of this package; ``scripts/crd_schema.py`` reads the rules and the schema extras from here.
A rule is written once as CEL (the API server checks it) and once as Python (files read by the command line are checked
without an API server); ``tests/api`` holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Generic, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    Strict,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from stowplan import errors

ModelT = TypeVar("ModelT", bound="ApiModel")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One entry of ``x-kubernetes-validations``.

    Attributes:
        cel: the expression; ``self`` is the object that carries the rule.
        message: what the user reads when it does not hold; one line that says what to do.
        field: the JSON path of the field at fault, relative to the object that carries the rule (``.weight``).
        reason: how the API server classifies it.
    """

    cel: str
    message: str
    field: str = ""
    reason: str = "FieldValueInvalid"

    def to_json(self) -> dict[str, str]:
        """The entry as a CRD carries it."""
        entry = {"rule": self.cel, "message": self.message, "reason": self.reason, "fieldPath": self.field}
        return {name: value for name, value in entry.items() if value}


@dataclass(frozen=True)
class CheckedRule(Generic[ModelT]):
    """A rule together with its Python twin."""

    rule: Rule
    holds: Callable[[ModelT], bool]


def cel(
    expression: str, message: str, *, field: str = "", reason: str = "FieldValueInvalid"
) -> Callable[[Callable[[ModelT], bool]], CheckedRule[ModelT]]:
    """Declare the decorated method as the Python twin of a CEL rule: True where the rule holds."""

    def declare(holds: Callable[[ModelT], bool]) -> CheckedRule[ModelT]:
        return CheckedRule(Rule(cel=expression, message=message, field=field, reason=reason), holds)

    return declare


class ApiModel(BaseModel):
    """Base of every model: camelCase outside, immutable, and nothing unknown passes unnoticed.

    A trailing underscore keeps a field name clear of Python's keywords (``from_`` is ``from``).
    """

    model_config = ConfigDict(
        alias_generator=lambda name: to_camel(name.rstrip("_")),
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        ignored_types=(CheckedRule,),
    )

    transitions: ClassVar[tuple[Rule, ...]] = ()
    """Rules over ``oldSelf`` and ``self``; only the API server sees both, so they have no Python twin."""

    @classmethod
    def checked_rules(cls) -> tuple[CheckedRule[Self], ...]:
        """The rules declared with :func:`cel` in this class and its bases, in the order of their declaration."""
        found: dict[str, CheckedRule[Self]] = {}
        for owner in reversed(cls.__mro__):
            found.update({name: value for name, value in vars(owner).items() if isinstance(value, CheckedRule)})
        return tuple(found.values())

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        """Take null for absent, in fields and in maps, as the API server does."""
        if not isinstance(value, dict):
            return value
        return {
            name: {key: inner for key, inner in field.items() if inner is not None}
            if isinstance(field, dict)
            else field
            for name, field in value.items()
            if field is not None
        }

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for checked in self.checked_rules():
            if not checked.holds(self):
                context = {"message": checked.rule.message, "field": checked.rule.field}
                raise PydanticCustomError("rule", "{message}", context)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rules, in the form that a CRD takes them."""
        found = handler(schema)
        rules = (*(checked.rule for checked in cls.checked_rules()), *cls.transitions)
        if rules:
            handler.resolve_ref_schema(found)["x-kubernetes-validations"] = [rule.to_json() for rule in rules]
        return found

    def to_json(self) -> dict[str, JsonValue]:
        """The object as the API server takes it: camelCase, plain JSON values, absent rather than null."""
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return dumped


def parse(model: type[ModelT], value: Mapping[str, object], *, what: str) -> ModelT:
    """Read an API object.

    Args:
        model: the model to read it as.
        value: the object as JSON, with its camelCase names.
        what: how to call the object in a message, such as ``SchedulingPolicy prod/database-ha``.

    Raises:
        errors.InvalidObject: names the first field that is wrong and says why.
    """
    try:
        return model.model_validate(dict(value), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = (dotted(first["loc"]) + first.get("ctx", {}).get("field", "")).lstrip(".")
        raise errors.InvalidObject(what, field or "object", _PLAIN.get(first["type"], first["msg"])) from None


_PLAIN = {"missing": "is required", "extra_forbidden": "there is no such field"}
"""By pydantic's error type: what its message says, in the words of an API user."""


def dotted(location: tuple[int | str, ...]) -> str:
    """Turn a pydantic location into a field path: ``("spec", "spread", 0, "weight")`` is ``spec.spread[0].weight``."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return path.lstrip(".")


@dataclass(frozen=True)
class ListMap:
    """A list whose items are told apart by one field: ``x-kubernetes-list-type: map``."""

    key: str
    max_items: int

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse two items with one key, as the API server does."""

        def unique(items: tuple[BaseModel, ...]) -> tuple[BaseModel, ...]:
            _refuse_repeated([getattr(item, _snake(self.key)) for item in items], self.max_items)
            return items

        return core_schema.no_info_after_validator_function(unique, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the list type and the bound."""
        return {
            **handler(schema),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [self.key],
            "maxItems": self.max_items,
        }


@dataclass(frozen=True)
class ListSet:
    """A list of scalars of which none may stand twice: ``x-kubernetes-list-type: set``."""

    max_items: int

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse the same value twice, as the API server does."""

        def unique(items: tuple[str, ...]) -> tuple[str, ...]:
            _refuse_repeated(items, self.max_items)
            return items

        return core_schema.no_info_after_validator_function(unique, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the list type and the bound."""
        return {**handler(schema), "x-kubernetes-list-type": "set", "maxItems": self.max_items}


def _refuse_repeated(keys: list[str] | tuple[str, ...], max_items: int) -> None:
    if len(keys) > max_items:
        raise PydanticCustomError("too_long", "must have at most {limit} items", {"limit": max_items})
    for position, key in enumerate(keys):
        if key in keys[:position]:
            raise PydanticCustomError("duplicate", "Duplicate value: {key}", {"key": key})


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


Nullable = Field(json_schema_extra={"nullable": True})
"""Marks an optional field whose null may be written out, as in ``within: null``."""

Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
"""An RFC 1123 label: lower case letters, digits and dashes."""

LABEL_KEY_PATTERN = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"

LabelKey = Annotated[str, StringConstraints(pattern=LABEL_KEY_PATTERN, min_length=1, max_length=317)]
"""The key of a label or annotation: an optional DNS prefix and a slash, then a name of at most 63 characters."""

LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]
"""The value of a label; may be empty."""

ObjectName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)
]
"""The name of an API object: an RFC 1123 subdomain."""

Weight = Annotated[int, Strict(), Field(ge=1, le=100)]

Duration = Annotated[
    str, StringConstraints(pattern=r"^([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h))+$", min_length=1, max_length=32)
]
"""A Go duration that is not negative, such as ``90s``, ``5m`` or ``1h30m``; :func:`seconds` reads it."""

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """Read a :data:`Duration`: ``1h30m`` is 5400 seconds.

    Source of the grammar: Go's ``time.ParseDuration``, without signs and without units below the millisecond.
    """
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", duration)
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


@dataclass(frozen=True)
class IntOrString:
    """Marks a union of int and str: ``x-kubernetes-int-or-string``, with one message that says what may stand there."""

    wanted: str

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Say one thing in place of one complaint for each member of the union."""
        return core_schema.custom_error_schema(
            handler(source), custom_error_type="int_or_string", custom_error_message=f"must be {self.wanted}"
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the mark, and what users are told in place of a pattern."""
        return {**handler(schema), "x-kubernetes-int-or-string": True, "wanted": self.wanted}


Quantity = Annotated[
    Annotated[int, Strict(), Field(ge=0)]
    | Annotated[
        str,
        StringConstraints(
            pattern=r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$", max_length=32
        ),
    ],
    IntOrString("a quantity such as 10Gi, 500m or 3"),
]
"""A resource quantity that is not negative; ``model.quantity`` reads it."""

Ratio = Annotated[
    Annotated[int, Strict(), Field(ge=1, le=1)]
    | Annotated[str, StringConstraints(pattern=r"^(0?\.[0-9]*[1-9][0-9]*|1(\.0*)?)$", max_length=16)],
    IntOrString('a decimal above 0 and at most 1, as a string such as "0.7"'),
]
"""A decimal above 0 and at most 1; a string, because the API server wants no floats."""

IntOrPercent = Annotated[
    Annotated[int, Strict(), Field(ge=0)]
    | Annotated[str, StringConstraints(pattern=r"^(100|[1-9]?[0-9])%$", max_length=4)],
    IntOrString("a number from 0, or a percentage such as 25%"),
]
"""A number, or a percentage of some total; :func:`share` reads it."""


SomeOrPercent = Annotated[
    Annotated[int, Strict(), Field(ge=1)]
    | Annotated[str, StringConstraints(pattern=r"^(100|[1-9][0-9]?)%$", max_length=4)],
    IntOrString("a number from 1, or a percentage such as 25%"),
]
"""An :data:`IntOrPercent` that is not zero."""


def share(value: int | str, total: int, *, round_up: bool) -> int:
    """Read an :data:`IntOrPercent` as a number of ``total``: ``40%`` of 6 is 3 rounded up, 2 rounded down.

    Source: ``GetScaledValueFromIntOrPercent`` in k8s.io/apimachinery/pkg/util/intstr/intstr.go.
    """
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * total
    return -(-hundredths // 100) if round_up else hundredths // 100
