"""Plugins by others: packages that register a plugin in the entry point group ``stowplan.plugins``.

Called by :mod:`stowplan.app.arguments` for the names that the configuration mentions and Stowplan has not; a plugin
that nobody names is not even imported. What a plugin is: :mod:`stowplan.framework.plugin`; how to write, install and
enable one: docs/plugins.md.

A factory is what the entry point refers to, as a rule the class of the plugin. Where it takes arguments, its attribute
``Args`` is their type: a pydantic model, a dataclass or a msgspec Struct. It is then called with one of them, and
without anything otherwise.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from importlib import metadata

import msgspec
import pydantic

from stowplan import errors
from stowplan.app import documents
from stowplan.framework import conduct
from stowplan.framework.plugin import Plugin
from stowplan.profiles import in_tree
from stowplan.profiles.selection import METHODS, points_of

GROUP = "stowplan.plugins"

_OURS = {each.name for each in in_tree.IN_TREE}


@functools.cache
def installed() -> Mapping[str, metadata.EntryPoint]:
    """The plugins of the packages that are installed, by name.

    Raises:
        UsageError: two packages register one name, or one has taken a name of Stowplan's own.
    """
    found: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=GROUP):
        other = found.get(point.name)
        if point.name in _OURS:
            raise errors.UsageError(f"plugin {point.name} of {_package(point)}: Stowplan has a plugin of that name")
        if other is not None and other.value != point.value:
            both = " and ".join(sorted({_package(other), _package(point)}))
            raise errors.UsageError(f"plugin {point.name} is in two packages: {both}")
        found[point.name] = point
    return found


def make(name: str, args: Mapping[str, object]) -> Plugin | None:
    """A new plugin; None where no package has one of that name.

    Args:
        name: as it is registered.
        args: its arguments, as the configuration has them.

    Raises:
        UsageError: it cannot be imported, does not take the arguments, or is no plugin; one line that names it.
    """
    point = installed().get(name)
    if point is None:
        return None
    try:
        factory: Callable[..., object] = point.load()
        plugin = _call(factory, args)
        if not isinstance(plugin, Plugin) or plugin.name != name:
            raise TypeError(f"what {point.value} makes must have the name {name}")
        if not points_of(plugin):
            raise TypeError(f"what {point.value} makes has none of the methods {', '.join(METHODS.values())}")
    except errors.UsageError as error:
        raise errors.UsageError(f"plugin {name}: {error}") from error
    except Exception as error:  # whatever somebody else's code raises is said in one line
        raise errors.UsageError(f"plugin {name} of {_package(point)}: {conduct.describe(error)}") from error
    return plugin


def _package(point: metadata.EntryPoint) -> str:
    return f"package {point.dist.name}" if point.dist is not None else point.value


def _call(factory: Callable[..., object], args: Mapping[str, object]) -> object:
    kind: type | None = getattr(factory, "Args", None)
    if kind is not None:
        return factory(_read(kind, args))
    if args:
        raise errors.UsageError("args: it takes no arguments")
    return factory()


def _read(kind: type, args: Mapping[str, object]) -> object:
    """The arguments as their type has them. Raises UsageError."""
    if issubclass(kind, pydantic.BaseModel):
        try:
            return kind.model_validate(args)
        except pydantic.ValidationError as error:
            raise errors.UsageError(f"args: {documents.describe(error)}") from error
    if dataclasses.is_dataclass(kind):
        unknown = sorted(set(args) - {field.name for field in dataclasses.fields(kind)})
        if unknown:
            raise errors.UsageError(f"args.{unknown[0]}: unknown field")
    try:
        return msgspec.convert(args, kind)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$")
        raise errors.UsageError(f"args{where.rstrip('`')}: {problem}") from error
