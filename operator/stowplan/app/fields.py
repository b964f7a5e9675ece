"""Types of single values in the configuration: how they are written in YAML and what they are in the program.

Used by :mod:`stowplan.app.settings`. A value that cannot be understood raises ValueError, which pydantic turns into
an error at the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import pydantic

from stowplan.api import base

_DURATION: pydantic.TypeAdapter[str] = pydantic.TypeAdapter(base.Duration)


def parse_duration(text: object) -> timedelta:
    """A Go duration, as everywhere in this project's API: ``15s``, ``1m30s``, ``500ms``."""
    if isinstance(text, timedelta):
        return text
    try:
        return timedelta(seconds=base.seconds(_DURATION.validate_python(text, strict=True)))
    except pydantic.ValidationError as error:
        raise ValueError(f"{text!r} is not a duration such as 15s, 1m30s or 500ms") from error
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long") from error


@dataclass(frozen=True)
class Address:
    """Where a server listens: an empty host is every interface, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: object) -> Address:
    """``HOST:PORT``, ``:PORT`` or ``[IPV6]:PORT``."""
    if isinstance(text, Address):
        return text
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]]*)):(\d{1,5})", text) if isinstance(text, str) else None
    if found is None or int(found[3]) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return Address(host=found[1] or found[2], port=int(found[3]))


def refuse_duplicates(field: str, names: Iterable[str]) -> None:
    """Raise ValueError if a name comes twice in the list that ``field`` names."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise ValueError(f"{field}: {name} is there twice")
        seen.add(name)


Duration = Annotated[
    timedelta,
    pydantic.BeforeValidator(parse_duration),
    pydantic.WithJsonSchema({"type": "string"}),
]
BindAddress = Annotated[
    Address,
    pydantic.BeforeValidator(parse_address),
    pydantic.WithJsonSchema({"type": "string"}),
]
