"""Which plugins take part at which extension point: the ``plugins`` of a profile, read as kube-scheduler reads them.

``select`` puts the sets of the configuration and the plugins that are on by default together. Precedence, replacement
and ``*`` are those of kubernetes v1.36.3 ``pkg/scheduler/apis/config/v1/default_plugins.go`` (``mergePluginSet``) and
``pkg/scheduler/framework/runtime/framework.go`` (``expandMultiPointPlugins``):

- a set of an extension point goes before ``multiPoint``, and what is enabled there before what is on by default;
- an enabled plugin is on even where the same set disables it, or ``*``;
- a weight that is left out, or 0, is 1.

Where the same thing cannot be done here, it is refused rather than ignored: the rules of a plugin (preFilter, filter,
reserve, and preBind, which is part of reserve here) are on or off together, preScore is part of score, and what sorts
the queue, binds and holds gated pods cannot be changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from stowplan import errors

MULTI_POINT: Final = "multiPoint"
SCORE: Final = "score"
RULES: Final = ("preFilter", "filter", "reserve")
"""Extension points that say whether a pod may run on a node."""
OWN: Final = (*RULES, "postFilter", SCORE)
"""Extension points that plugins have here; each is a method of the plugin, see ``METHODS``."""
METHODS: Final[Mapping[str, str]] = {
    "preFilter": "pre_filter",
    "filter": "filter",
    "postFilter": "post_filter",
    "score": "score",
    "reserve": "reserve",
}
PART_OF: Final[Mapping[str, str]] = {"preScore": SCORE, "preBind": "reserve"}
"""Extension points of kube-scheduler that are part of another one here."""
FIXED: Final[Mapping[str, frozenset[str]]] = {
    "preEnqueue": frozenset({"SchedulingGates"}),
    "queueSort": frozenset({"PrioritySort"}),
    "permit": frozenset(),
    "bind": frozenset({"DefaultBinder"}),
    "postBind": frozenset(),
    "placementGenerate": frozenset(),
    "placementScore": frozenset(),
}
"""Extension points of kube-scheduler that cannot be changed here, with what is on there."""
BUILT_IN: Final = frozenset[str]().union(*FIXED.values())
ABSENT: Final = frozenset({"GangScheduling", "TopologyPlacementGenerator", "PodGroupPodsCount"})
"""Plugins that kube-scheduler has and Stowplan has not: to disable them is fine."""
EVERY: Final = "*"


@dataclasses.dataclass(frozen=True, slots=True)
class Enabled:
    """A plugin to be on; ``weight`` None: not said."""

    name: str
    weight: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PluginSet:
    """What the configuration says of one extension point."""

    enabled: tuple[Enabled, ...] = ()
    disabled: frozenset[str] = frozenset()


NOTHING: Final = PluginSet()


@dataclasses.dataclass(frozen=True, slots=True)
class Available:
    """A plugin that there is.

    Attributes:
        points: those of ``OWN`` that it has.
        default: whether it is on where the configuration says nothing.
        weight: of its score by default.
        policy: whether it belongs to SchedulingPolicies, which put it into every profile.
    """

    name: str
    points: frozenset[str]
    default: bool = False
    weight: int = 1
    policy: bool = False


def points_of(plugin: object) -> frozenset[str]:
    """The extension points of a plugin, or of a class of plugins."""
    return frozenset(point for point, method in METHODS.items() if callable(getattr(plugin, method, None)))


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """The plugins of a profile.

    Attributes:
        order: names of all that are on, in the order in which they run.
        ruling: those of them whose rules are on.
        rescuing: those of them whose postFilter is on.
        weights: of those of them whose score is on.
    """

    order: tuple[str, ...]
    ruling: frozenset[str]
    rescuing: frozenset[str]
    weights: Mapping[str, int]


def select(sets: Mapping[str, PluginSet], available: Sequence[Available]) -> Selection:
    """The plugins that are on.

    Args:
        sets: by extension point, as it is called in the configuration; others say nothing.
        available: all plugins, those that are on by default in their order.

    Raises:
        UsageError: there is no such plugin, or what is asked for cannot be done; one line that begins with the field.
    """
    return _Selecting(sets, {each.name: each for each in available}).selection()


class _Selecting:
    """One profile."""

    def __init__(self, sets: Mapping[str, PluginSet], available: Mapping[str, Available]) -> None:
        self._sets = sets
        self._available = available

    def selection(self) -> Selection:
        for point, chosen in self._sets.items():
            self._check_names(point, chosen)
            self._check_weights(point, chosen)
        for point, fixed in FIXED.items():
            self._check_fixed(point, fixed)
        everywhere = self._everywhere()
        on = {point: self._on(point, everywhere) for point in OWN}
        self._check_rules(on)
        self._check_parts(on)
        names = dict.fromkeys(name for point in ("filter", *OWN) for name in on[point])
        first = self._overridden("filter", everywhere)
        order = dict.fromkeys([*first, *(name for name in everywhere if name in names), *names])
        return Selection(
            order=tuple(order),
            ruling=frozenset(name for point in RULES for name in on[point]),
            rescuing=frozenset(on["postFilter"]),
            weights={name: on[SCORE][name] for name in order if name in on[SCORE]},
        )

    # ------------------------------------------------------------ who is on

    def _set(self, point: str) -> PluginSet:
        return self._sets.get(point, NOTHING)

    def _everywhere(self) -> dict[str, int]:
        """What ``multiPoint`` and the defaults put in, with weights: defaults in their order, then the others."""
        chosen = self._set(MULTI_POINT)
        asked = {each.name: each.weight or 1 for each in chosen.enabled if each.name not in BUILT_IN}
        kept: dict[str, int] = {}
        if EVERY not in chosen.disabled:
            for each in self._available.values():
                if each.default and each.name not in chosen.disabled:
                    kept[each.name] = asked.pop(each.name, each.weight)
        return kept | asked

    def _on(self, point: str, everywhere: Mapping[str, int]) -> dict[str, int]:
        """The plugins at one extension point, with weights."""
        chosen = self._set(point)
        named = {each.name: each.weight or 1 for each in chosen.enabled if point in self._points(each.name)}
        if EVERY in chosen.disabled:
            return named
        others = {
            name: weight
            for name, weight in everywhere.items()
            if point in self._points(name) and name not in chosen.disabled and name not in named
        }
        return named | others

    def _overridden(self, point: str, everywhere: Mapping[str, int]) -> list[str]:
        """What an extension point names although it is there already: it goes first, in that order."""
        return [each.name for each in self._set(point).enabled if each.name in everywhere]

    def _points(self, name: str) -> frozenset[str]:
        return self._available[name].points

    # ------------------------------------------------------------ what is refused

    def _check_names(self, point: str, chosen: PluginSet) -> None:
        names = [each.name for each in chosen.enabled]
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        if twice is not None:
            raise errors.UsageError(f"plugins.{point}.enabled: {twice} is there twice")
        for name in names:
            if name not in BUILT_IN and (point == MULTI_POINT or point not in FIXED):
                self._check_exists(f"plugins.{point}.enabled", name)
        for name in sorted(chosen.disabled - {EVERY} - ABSENT - BUILT_IN):
            self._check_exists(f"plugins.{point}.disabled", name)
            if self._available[name].policy:
                raise errors.UsageError(
                    f"plugins.{point}.disabled: {name} is part of SchedulingPolicies, which act in every profile"
                )
        kept = BUILT_IN.intersection(chosen.disabled).difference(names)
        if point == MULTI_POINT and kept:
            raise errors.UsageError(f"plugins.{point}.disabled: {min(kept)} cannot be disabled")

    def _check_exists(self, field: str, name: str) -> None:
        if name not in self._available:
            there_are = ", ".join(sorted(name for name, each in self._available.items() if not each.policy))
            raise errors.UsageError(f"{field}: there is no plugin {name}; there are {there_are}")

    def _check_weights(self, point: str, chosen: PluginSet) -> None:
        for each in chosen.enabled:
            field = f"plugins.{point}.enabled: {each.name}"
            known = self._available.get(each.name)
            if known is not None and known.policy and point != SCORE:
                raise errors.UsageError(
                    f"{field} is part of SchedulingPolicies, which act in every profile; score may give it a weight"
                )
            if each.weight is None:
                continue
            if point not in (MULTI_POINT, SCORE):
                raise errors.UsageError(f"{field} has a weight, which counts at score and multiPoint alone")
            if known is None or SCORE not in known.points:
                raise errors.UsageError(f"{field} has a weight, but no score that it could count for")

    def _check_fixed(self, point: str, fixed: frozenset[str]) -> None:
        chosen = self._set(point)
        enabled = {each.name for each in chosen.enabled}
        lost = fixed - enabled if EVERY in chosen.disabled else (fixed & chosen.disabled) - enabled
        if enabled - fixed or lost:
            what = f"is {', '.join(sorted(fixed))} and cannot be changed" if fixed else "does not exist in Stowplan"
            raise errors.UsageError(f"plugins.{point}: this extension point {what}")

    def _check_rules(self, on: Mapping[str, Mapping[str, int]]) -> None:
        """Rules of one plugin go together; what is named at a point must be there, and what is disabled must not."""
        for name, known in self._available.items():
            points = [point for point in RULES if point in known.points]
            there = [point for point in points if name in on[point]]
            if there and len(there) < len(points):
                missing = next(point for point in points if point not in there)
                raise errors.UsageError(
                    f"plugins: {name} is on at {there[0]} and off at {missing}: its rules go together, so name it at"
                    f" both, or at multiPoint"
                )
        ruling = {name for point in RULES for name in on[point]}
        for point in (*RULES, "preBind"):
            self._check_named(point, ruling, RULES, "its rules go together")
        for point in ("postFilter", SCORE):
            self._check_named(point, set(on[point]), (point,), "")

    def _check_parts(self, on: Mapping[str, Mapping[str, int]]) -> None:
        for part, whole in PART_OF.items():
            if EVERY in self._set(part).disabled and EVERY not in self._set(whole).disabled:
                raise errors.UsageError(
                    f"plugins.{part}.disabled: {part} is part of {whole} here: disable '*' at {whole}, too"
                )
        self._check_named("preScore", set(on[SCORE]), (SCORE,), f"preScore is part of {SCORE} here")

    def _check_named(self, point: str, there: Iterable[str], points: Sequence[str], why: str) -> None:
        chosen = self._set(point)
        enabled = [each.name for each in chosen.enabled]
        for name in enabled:
            if not self._points(name).intersection(points):
                raise errors.UsageError(f"plugins.{point}.enabled: {name} does nothing there")
            if name not in there:
                raise errors.UsageError(f"plugins.{point}.enabled: {name} is off at {points[0]}: {why}")
        for name in sorted(chosen.disabled.difference(enabled)):
            if name in there:
                raise errors.UsageError(f"plugins.{point}.disabled: {name} is on at {points[0]}: {why}")
