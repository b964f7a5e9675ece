"""Plugins that fail: what becomes of the pod, and when a plugin is called no more.

A plugin fails where it raises, or where it answers what no plugin may answer: a mask of another shape, a score of 101.
The pod is never lost by that, and no other plugin suffers:

- At a *rule* (PreFilter, Filter, Reserve) nobody knows then whether the pod may run. It waits like one that fits
  nowhere, with the error as the reason, until something happens in the cluster.
- At a *preference* (Score) the pod is placed without it.
- Where it was asked for help only (PostFilter, and what it says about pods together), the pod does without that help.

A plugin that has failed for ``LIMIT`` different pods in a row is cut off: it is called no more. One pod alone cuts off
nobody, however often it is tried. What was cut off at a preference is left out. What was cut off at a rule is not: to
place pods without a rule may break it for good (a pod that runs is not moved), so the pods of the profile wait, which
is undone by itself when the plugin works again, or when the operator takes it out of the profile. To find out, the
next pod is tried with it after ``RETRY_AFTER``; one success brings it back, one failure cuts it off again.

``framework.runtime`` reports here; ``live.board`` logs the news and passes the time, ``app`` makes metrics of it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Final, NamedTuple

from stowplan.model.pods import PodInfo

LIMIT: Final = 10
"""Different pods in a row for which a plugin fails before it is cut off."""
RETRY_AFTER: Final = 60.0
"""Seconds until a plugin that was cut off is tried again."""
LONGEST: Final = 200
"""Characters of an error that users are shown."""

PRE_FILTER: Final = "PreFilter"
FILTER: Final = "Filter"
POST_FILTER: Final = "PostFilter"
SCORE: Final = "Score"
RESERVE: Final = "Reserve"
JOINT: Final = "Joint"
RULES: Final = frozenset({PRE_FILTER, FILTER, RESERVE})
"""Where a plugin says whether a pod may run."""


class Call(NamedTuple):
    """A plugin of a profile at one extension point."""

    profile: str
    plugin: str
    point: str


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """News: a plugin fails with an error that was not seen of it before; ``pod`` is the pod that it failed for."""

    call: Call
    pod: str
    error: Exception


@dataclasses.dataclass(frozen=True, slots=True)
class CutOff:
    """News: a plugin is called no more; ``error`` is the last one."""

    call: Call
    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """News: a plugin that was cut off works again."""

    call: Call


News = Failed | CutOff | Restored


def describe(error: Exception) -> str:
    """An error in one line that is not too long."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:LONGEST]}" if text else type(error).__name__


class Conduct:
    """How the plugins of all profiles behave.

    Attributes:
        errors: failures ever, by (plugin, extension point).
        suspects: the calls whose last try failed, each with the pods in a row for which it did.
        out: the calls that are not made, each with its last error.
    """

    def __init__(self) -> None:
        self.errors: Counter[tuple[str, str]] = Counter()
        self.suspects: dict[Call, set[str]] = {}
        self.out: dict[Call, str] = {}
        self._since: dict[Call, float] = {}
        self._seen: dict[Call, str] = {}
        self._news: list[News] = []

    @property
    def cut_off(self) -> frozenset[Call]:
        """The calls that are cut off, those among them that are about to be tried again."""
        return frozenset(call for call, pods in self.suspects.items() if len(pods) >= LIMIT)

    def failed(self, call: Call, pod: PodInfo, error: Exception) -> str:
        """A plugin has failed for a pod; returns the error in one line."""
        said = describe(error)
        self.errors[call.plugin, call.point] += 1
        if self._seen.get(call) != said:
            self._seen[call] = said
            self._news.append(Failed(call, pod.key, error))
        pods = self.suspects.setdefault(call, set())
        retried = len(pods) >= LIMIT
        if not retried:
            pods.add(pod.uid)
        if len(pods) >= LIMIT:
            self.out[call] = said
            if not retried:
                self._news.append(CutOff(call, said))
        return said

    def passed(self, call: Call) -> None:
        """A suspect has done its work."""
        pods = self.suspects.pop(call, ())
        self._seen.pop(call, None)
        if len(pods) >= LIMIT:
            self._news.append(Restored(call))

    def tick(self, now: float) -> list[News]:
        """Lets plugins that have been cut off for long have another try; returns what is new since the last time.

        Args:
            now: seconds of a monotonic clock.
        """
        self._since = {call: self._since.get(call, now) for call in self.out}
        for call, since in self._since.items():
            if now - since >= RETRY_AFTER:
                del self.out[call]
        news, self._news = self._news, []
        return news
