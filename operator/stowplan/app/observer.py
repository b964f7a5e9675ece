"""Turns what the scheduling loop reports into metrics."""

from __future__ import annotations

from collections.abc import Callable

from stowplan.app.metrics import Metrics
from stowplan.framework.plugin import Probe
from stowplan.live.observe import GangResult, Result


class _Points(Probe):
    """Times extension points."""

    __slots__ = ("_clock", "_measured", "_profile")

    def __init__(self, measured: Metrics, profile: str, clock: Callable[[], float]) -> None:
        self._measured = measured
        self._profile = profile
        self._clock = clock

    def start(self) -> float:
        return self._clock()

    def point(self, name: str, start: float, *, ok: bool) -> None:
        status = "Success" if ok else "Unschedulable"
        self._measured.extension_point(name, status, self._profile, self._clock() - start)


class _Plugins(_Points):
    """Times extension points and every plugin."""

    __slots__ = ()
    each = True

    def plugin(self, name: str, point: str, start: float) -> None:
        self._measured.plugin(name, point, "Success", self._clock() - start)


class MetricsObserver:
    """An ``Observer`` that feeds :class:`Metrics`.

    Args:
        measured: the metrics.
        clock: seconds, with a resolution fit for microseconds.
    """

    def __init__(self, measured: Metrics, clock: Callable[[], float]) -> None:
        self._measured = measured
        self._clock = clock
        self._points: dict[str, tuple[Probe, Probe]] = {}
        self.algorithm = measured.algorithm
        self.attempt: Callable[[Result, str, float], None] = measured.attempt
        self.bound = measured.pod_scheduled
        self.bind = measured.bind
        self.gang: Callable[[GangResult], None] = measured.gang
        self.joint_placement = measured.joint_placement
        self.preemption = measured.preemption

    def probe(self, profile: str) -> Probe:
        """The clock of one decision; one in ten times each plugin."""
        pair = self._points.get(profile)
        if pair is None:
            measured, clock = self._measured, self._clock
            pair = self._points[profile] = (_Points(measured, profile, clock), _Plugins(measured, profile, clock))
        return pair[self._measured.sample_plugins()]
