"""What every mapping of the configuration file is made of.

Used by :mod:`stowplan.app.settings`, :mod:`stowplan.app.plugin_config` and :mod:`stowplan.app.profile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pydantic
from pydantic.alias_generators import to_camel


class Section(pydantic.BaseModel):
    """A mapping of the file: camelCase keys, nothing unknown, no conversion between types, immutable."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )

    cannot_act: ClassVar[Mapping[str, str]] = {}
    """Fields that kube-scheduler has in this place and that mean nothing here: what to do instead."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _says_why_it_cannot_act(cls, value: object) -> object:
        if isinstance(value, Mapping):
            for field, instead in cls.cannot_act.items():
                if field in value:
                    raise ValueError(f"{field}: {instead}")
        return value
