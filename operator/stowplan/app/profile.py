"""A profile of the configuration file: one schedulerName, with the plugins that place its pods.

The names and the sense are those of kube-scheduler's v0.36.3 ``config/v1/types.go`` (``KubeSchedulerProfile``), so that
the ``profiles`` of a KubeSchedulerConfiguration can be copied over. What the sets of ``plugins`` mean together is
decided by :mod:`stowplan.profiles.selection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import pydantic
from pydantic import Field

from stowplan.app import fields
from stowplan.app.plugin_config import A, PluginConfigs, args_of
from stowplan.app.section import Section
from stowplan.profiles import selection

SchedulerName = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]


def _scores_every_node(percentage: int | None) -> int | None:
    if percentage not in (None, 100):
        raise ValueError("every feasible node is scored: leave it out, or say 100")
    return percentage


Percentage = Annotated[int | None, pydantic.AfterValidator(_scores_every_node)]


class Enabled(Section):
    """A plugin that is on."""

    name: Annotated[str, Field(min_length=1)]
    weight: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Of its score; left out, or 0: 1."""


class Disabled(Section):
    """A plugin that is off; ``*`` is every plugin that this set does not enable."""

    cannot_act: ClassVar[Mapping[str, str]] = {"weight": "a plugin that is off has none: leave it out"}

    name: Annotated[str, Field(min_length=1)]


class PluginSet(Section):
    """What is on and off at one extension point."""

    enabled: Annotated[tuple[Enabled, ...], Field(strict=False)] = ()
    disabled: Annotated[tuple[Disabled, ...], Field(strict=False)] = ()

    def compiled(self) -> selection.PluginSet:
        """As ``selection`` takes it."""
        return selection.PluginSet(
            tuple(selection.Enabled(each.name, each.weight) for each in self.enabled),
            frozenset(each.name for each in self.disabled),
        )


class Plugins(Section):
    """The extension points of kube-scheduler."""

    multi_point: PluginSet = PluginSet()
    pre_enqueue: PluginSet = PluginSet()
    queue_sort: PluginSet = PluginSet()
    pre_filter: PluginSet = PluginSet()
    filter: PluginSet = PluginSet()
    post_filter: PluginSet = PluginSet()
    pre_score: PluginSet = PluginSet()
    score: PluginSet = PluginSet()
    reserve: PluginSet = PluginSet()
    permit: PluginSet = PluginSet()
    pre_bind: PluginSet = PluginSet()
    bind: PluginSet = PluginSet()
    post_bind: PluginSet = PluginSet()
    placement_generate: PluginSet = PluginSet()
    placement_score: PluginSet = PluginSet()

    def sets(self) -> Mapping[str, selection.PluginSet]:
        """By extension point, as it is called in the file."""
        aliases = type(self).model_fields
        return {str(aliases[name].alias): chosen.compiled() for name, chosen in self}


class Profile(Section):
    """One profile."""

    scheduler_name: SchedulerName
    """Pods with this ``spec.schedulerName`` are placed."""
    percentage_of_nodes_to_score: Percentage = None
    plugins: Plugins = Plugins()
    plugin_config: PluginConfigs = ()

    @pydantic.model_validator(mode="after")
    def _configures_each_plugin_once(self) -> Profile:
        fields.refuse_duplicates("pluginConfig", (item.name for item in self.plugin_config))
        return self

    def args(self, kind: type[A]) -> A | None:
        """The arguments of the plugin that takes this kind; None where nothing is said."""
        return args_of(self.plugin_config, kind)
