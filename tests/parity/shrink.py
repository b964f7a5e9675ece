"""Makes a state with a difference small: drops what it does not need, object by object and then field by field."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

from tests.parity.draw import Object

Fails = Callable[[list[Object]], bool]
"""Whether a state still shows the difference."""

Path = tuple[str | int, ...]

_IDENTITY: frozenset[Path] = frozenset(
    {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace")}
)
"""What stays, because it says which object it is."""


def shrink(items: Sequence[Object], fails: Fails, *, tries: int = 4000) -> list[Object]:
    """The smallest state found that still fails.

    Args:
        items: a state that fails.
        fails: is called with smaller and smaller states.
        tries: how often it may be called.
    """
    budget = iter(range(tries))

    def still(smaller: list[Object]) -> bool:
        return next(budget, None) is not None and fails(smaller)

    best = _fewer(list(items), still)
    while True:
        before = len(str(best))
        best = _fewer(_leaner(best, still), still)
        if len(str(best)) == before:
            return best


def _fewer(items: list[Object], still: Fails) -> list[Object]:
    """Drops objects: half of them at a time, then a quarter, and so on down to one."""
    size = max(len(items) // 2, 1)
    while True:
        at = 0
        while at < len(items):
            smaller = items[:at] + items[at + size :]
            if smaller and still(smaller):
                items = smaller
            else:
                at += size
        if size == 1:
            return items
        size //= 2


def _leaner(items: list[Object], still: Fails) -> list[Object]:
    """Drops fields and list elements, outermost first."""
    at = 0
    while at < len(items):
        paths = list(_paths(items[at]))
        dropped: list[Path] = []
        for path in paths:
            if any(path[: len(each)] == each for each in dropped):
                continue
            smaller = copy.deepcopy(items)
            _drop(smaller[at], path)
            if still(smaller):
                items = smaller
                dropped.append(path)
        at += 1
    return items


def _paths(value: object, before: Path = ()) -> Iterator[Path]:
    """Where there is something to drop; the last of a list first, so that the indices of the others stay right."""
    if isinstance(value, dict):
        for key, each in value.items():
            if (*before, key) not in _IDENTITY:
                yield (*before, key)
            yield from _paths(each, (*before, key))
    elif isinstance(value, list):
        for index in reversed(range(len(value))):
            yield (*before, index)
            yield from _paths(value[index], (*before, index))


def _drop(item: Object, path: Path) -> None:
    value: object = item
    for step in path[:-1]:
        value = value[step]  # type: ignore[index]
    del value[path[-1]]  # type: ignore[attr-defined]
