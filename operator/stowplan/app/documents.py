"""One YAML document read strictly, and a validation error told in one line.

Used by :mod:`stowplan.app.settings`; :mod:`stowplan.app.plugins` tells what is wrong with a plugin's arguments by it.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import pydantic
import yaml
from pydantic_core import ErrorDetails

from stowplan import errors
from stowplan.api import base


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader that refuses a key that comes twice, as the strict decoding of Kubernetes does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Build a mapping; raises ConstructorError at the second of two equal keys."""
        seen = set[str]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(problem="a key must be a word", problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"{key.value} is there twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path, *, api_version: str, kind: str) -> dict[str, object]:
    """Read a file of one document and check that it says what it is.

    Raises:
        UsageError: Unreadable, not YAML, not a mapping, or without ``apiVersion`` and ``kind``.
    """
    try:
        document = yaml.load(path.read_bytes(), _StrictLoader)  # noqa: S506 - it is a SafeLoader
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise errors.UsageError(f"{path}: {where}{_what(error)}") from error
    except yaml.YAMLError as error:
        raise errors.UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise errors.UsageError(f"{path}: expected a mapping with apiVersion {api_version} and kind {kind}")
    for key, wanted in (("apiVersion", api_version), ("kind", kind)):
        if document.get(key) != wanted:
            found = f", not {document[key]!r}" if key in document else ""
            raise errors.UsageError(f"{path}: {key}: must be {wanted}{found}")
    return document


def _what(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return " ".join(said.split())


def describe(error: pydantic.ValidationError) -> str:
    """All problems of one validation in one line: ``leaderElection.retryPeriod: 'x' is not a duration``."""
    details = error.errors(include_url=False)
    deeper = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
    # a list whose only item is wrong is said to be too short as well
    told = [each for each in details if not (each["type"] == "too_short" and each["loc"] in deeper)]
    return "; ".join(_problem(detail) for detail in told)


def _problem(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    where = detail["loc"]
    match detail["type"]:
        case "extra_forbidden":
            message = "unknown field"
        case "missing":
            message = "is required"
        case "union_tag_not_found":
            where, message = (*where, "name"), "is required"
        case "union_tag_invalid":
            where = (*where, "name")
            message = f"must be one of {context['expected_tags']}, not {context['tag']!r}"
        case "model_type" | "dict_type":
            message = "must be a mapping"
        case "tuple_type":
            message = "must be a list"
        case "value_error":
            message = str(context["error"])
        case "rule":
            message = str(context["message"])
        case _:
            message = f"{detail['msg'].removeprefix('Input ')}, not {detail['input']!r}"
    path = _path(where)
    return f"{path}: {message}" if path else message


def _path(location: tuple[int | str, ...]) -> str:
    """``pluginConfig[0].args.x``: pydantic puts the tag of a union (a plugin's name) behind the index, the file not."""
    parts: list[int | str] = []
    for part in location:
        is_tag = isinstance(part, str) and part[:1].isupper() and bool(parts) and isinstance(parts[-1], int)
        if not is_tag:
            parts.append(part)
    return base.dotted(tuple(parts))
