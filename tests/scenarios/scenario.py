"""What a scenario is, and how one ended."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from tests.controlplane.nodes import Layout, Manifest
from tests.controlplane.plane import ControlPlane
from tests.process import Settings
from tests.scenarios.invariants import Rule

if TYPE_CHECKING:
    from tests.scenarios.stage import Stage


class Setup(enum.Enum):
    """Who runs the service."""

    PLAIN = "plain"
    """A StatefulSet, or pods, under kube-scheduler, as a user would plainly write it."""
    EXPERT = "expert"
    """The same with the best single setup that an expert would choose for this very scenario."""
    OURS = "ours"
    """StatefulCluster and SchedulingPolicy under Stowplan."""


class Failed(Exception):  # noqa: N818
    """The setup did not do what users expect: the reason in one phrase."""


@contextlib.contextmanager
def nobody_else(plane: ControlPlane, setup: Setup) -> Iterator[None]:
    """No further program takes part."""
    yield


async def nothing(stage: Stage) -> None:
    """The cluster is fine as it is."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scenario:
    """One thing that goes wrong in the life of a stateful service, or does not.

    Attributes:
        name: for the command line.
        issue: where users asked for it, such as "kubernetes 124149".
        title: what should happen, as a row of the table.
        layout: the nodes.
        objects: what is applied at the start, by setup.
        before: what the cluster is like before that.
        happens: what happens then; raises `Failed` where it gets stuck.
        check: looks at the API's state in the end; raises `Failed`. It is the same for all setups, and goes by labels.
        rules: Required rules that no setup may break at any moment.
        others: further programs, such as a second scheduler, while it happens.
        scheduler: what is added to kube-scheduler's configuration, by setup.
        settings: what is changed in Stowplan's.
        replicas: of Stowplan; one of them leads.
    """

    name: str
    issue: str
    title: str
    layout: Layout
    objects: Callable[[Setup], list[Manifest]]
    happens: Callable[[Stage], Awaitable[None]]
    check: Callable[[Stage], Awaitable[None]]
    before: Callable[[Stage], Awaitable[None]] = nothing
    rules: tuple[Rule, ...] = ()
    scheduler: Mapping[Setup, str] = dataclasses.field(default_factory=dict)
    settings: Settings = dataclasses.field(default_factory=dict)
    replicas: int = 1
    others: Callable[[ControlPlane, Setup], contextlib.AbstractContextManager[None]] = nobody_else


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run ended.

    Attributes:
        reason: why it failed, in one phrase; "" where it passed.
        broken: what did not hold at some moment meanwhile; it fails, too.
        seconds: that it took, without starting the control plane.
    """

    scenario: str
    setup: str
    run: int
    reason: str
    broken: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all was as users expect."""
        return not self.reason and not self.broken

    @property
    def phrase(self) -> str:
        """The first reason, or "passed"."""
        return self.reason or next(iter(self.broken), "passed")
