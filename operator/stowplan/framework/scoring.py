"""The scores of the feasible nodes, and their sum: what ``choice`` chooses by. Used by ``runtime``.

Much of what makes one node better than another follows from its own resources: how full the pod would make it, how
evenly. From one pod to the next that asks for the same, one node changes. So what such plugins say
(``plugin.OwnScore``) is added up once for all nodes, is kept, and is worked out again for nodes that have changed; a
decision picks the feasible ones from the sum. Plugins that look at other nodes, or at pods, are asked about each pod,
and come on top.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework.conduct import SCORE, Call, Conduct
from stowplan.framework.nodes import RowIndex
from stowplan.framework.plugin import MAX_SCORE, CycleState, OwnScore, Rows, Score, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo

Sums = npt.NDArray[np.integer]
"""int16 where that holds the highest sum that the weights allow, else int64."""
Said = tuple[str, int, Scores | int]
"""Name and weight of a plugin, and its scores of the feasible nodes, or the one score that all of them get."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What the plugins say that go by a node's own resources.

    Attributes:
        parts: name and weight of each plugin that has something to say.
        sums: int[1 + part, node]: the weighted sum, and then what each of them says. Live: do not write.
    """

    parts: tuple[tuple[str, int], ...]
    sums: Sums


class Own:
    """The plugins of a profile that go by a node's own resources.

    Args:
        plugins: each with its weight.
        most: the highest sum that all plugins of the profile may come to.
    """

    def __init__(self, plugins: Sequence[tuple[OwnScore, int]], most: int) -> None:
        self._plugins = tuple(plugins)
        self._dtype = np.dtype(np.int16 if most <= np.iinfo(np.int16).max else np.int64)
        self.name = "+".join(each.name for each, _ in plugins)

    def kept(self, cls: PodClass, nodes: Snapshot, base: int) -> Kept:
        """What they say about pods of a class; ``base`` is added to each sum. Raises what a plugin raises."""
        speaking = nodes.once(
            (self, cls.ask), lambda: tuple((each, weight) for each, weight in self._plugins if each.speaks(cls))
        )
        parts = tuple((each.name, weight) for each, weight in speaking)
        return Kept(parts, nodes.kept((self, cls.ask, base), lambda rows: self._sums(speaking, cls, nodes, rows, base)))

    def _sums(
        self, speaking: Sequence[tuple[OwnScore, int]], cls: PodClass, nodes: Snapshot, rows: RowIndex, base: int
    ) -> Sums:
        width = len(nodes) if isinstance(rows, slice) else len(rows)
        found = np.full((1 + len(speaking), width), base, dtype=self._dtype)
        for place, (each, weight) in enumerate(speaking, 1):
            scores = each.score_own(cls, nodes, rows)
            if scores.max(initial=0) > MAX_SCORE:
                raise ValueError(f"scores must be 0 to {MAX_SCORE}, not {scores.max()}")
            found[place] = scores
            found[0] += weight * found[place]
        return found


class ScoreTable:
    """The scores of the feasible nodes. To be read before the cluster changes.

    Args:
        rows: intp[feasible].
        kept: of the plugins that go by a node's own resources, for all nodes; None where nothing is kept.
        said: what the other plugins say, those with nothing to say left out.
        base: the weighted sum of those that give all nodes the same.
        order: names of the plugins, as users are to see them.

    Attributes:
        rows: as above.
        total: int[feasible], weighted. Do not write.
    """

    __slots__ = ("_kept", "_order", "_said", "rows", "total")

    def __init__(self, rows: Rows, kept: Kept | None, said: Sequence[Said], base: int, order: Sequence[str]) -> None:
        self.rows = rows
        self._order = order
        self._kept = kept
        self._said = said
        self.total: Sums
        if kept is None:
            self.total = np.full(len(rows), base, dtype=np.int64)
        else:
            sums = kept.sums[0]
            self.total = sums if len(rows) == len(sums) else sums.take(rows)
        for _, weight, scores in said:
            if not isinstance(scores, int):
                self.total = self.total + (scores if weight == 1 else weight * scores)

    @property
    def plugins(self) -> dict[str, tuple[int, Scores]]:
        """Plugin name to weight and its int64[feasible] of 0..100; plugins with nothing to say are left out."""
        found: dict[str, tuple[int, Scores]] = {}
        if self._kept is not None:
            for place, (name, weight) in enumerate(self._kept.parts, 1):
                found[name] = (weight, self._kept.sums[place].take(self.rows).astype(np.int64))
        for name, weight, scores in self._said:
            each = np.full(len(self.rows), scores, dtype=np.int64) if isinstance(scores, int) else scores
            found[name] = (weight, each)
        return {name: found[name] for name in self._order if name in found}

    def differences(self, one: int, other: int) -> dict[str, int]:
        """The plugins that tell two of the feasible nodes apart, and by how much of the sum.

        Args:
            one: place of a node in ``rows``.
            other: of another one.
        """
        found: dict[str, int] = {}
        if self._kept is not None:
            sums, here, there = self._kept.sums, self.rows[one], self.rows[other]
            for place, (name, weight) in enumerate(self._kept.parts, 1):
                found[name] = weight * abs(int(sums[place, here]) - int(sums[place, there]))
        for name, weight, scores in self._said:
            if not isinstance(scores, int):
                found[name] = weight * abs(int(scores[one]) - int(scores[other]))
        return {name: by for name, by in found.items() if by}


class Scorer:
    """The plugins of a profile that score.

    Args:
        profile: its name.
        plugins: each with its weight, which is not 0.
        conduct: is told who fails.
    """

    def __init__(self, profile: str, plugins: Sequence[tuple[Score, int]], conduct: Conduct) -> None:
        self._profile = profile
        self._conduct = conduct
        self._order = tuple(each.name for each, _ in plugins)
        self._own = tuple((each, weight) for each, weight in plugins if isinstance(each, OwnScore))
        self._others = tuple((each, weight) for each, weight in plugins if not isinstance(each, OwnScore))
        self._sum = Own(self._own, MAX_SCORE * sum(weight for _, weight in plugins))

    def table(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> ScoreTable:
        """Scores the feasible nodes; a plugin that fails is left out."""
        said, base = self._ask(self._others, pod, nodes, state, rows)
        kept = self._kept(pod.cls, nodes, state, base)
        if kept is None:
            more, same = self._ask(self._own, pod, nodes, state, rows)
            said, base = said + more, base + same
        return ScoreTable(rows, kept, said, base, self._order)

    def _ask(
        self, plugins: Iterable[tuple[Score, int]], pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows
    ) -> tuple[list[Said], int]:
        """What plugins say about the pod, one by one, and the weighted sum of what they say about all nodes alike."""
        said: list[Said] = []
        base = 0
        conduct, probe, timed = self._conduct, state.probe, state.probe.each
        for each, weight in plugins:
            if conduct.out and Call(self._profile, each.name, SCORE) in conduct.out:
                continue
            start = probe.start() if timed else 0.0
            try:
                scores = each.score(pod, nodes, state, rows)
                if scores is not None:
                    check(scores, len(rows))
                    said.append((each.name, weight, scores))
                    if isinstance(scores, int):
                        base += weight * scores
            except Exception as error:  # noqa: BLE001 - what a plugin raises must harm no other
                conduct.failed(Call(self._profile, each.name, SCORE), pod, error)
            else:
                if conduct.suspects:
                    conduct.passed(Call(self._profile, each.name, SCORE))
            if timed:
                probe.plugin(each.name, SCORE, start)
        return said, base

    def _kept(self, cls: PodClass, nodes: Snapshot, state: CycleState, base: int) -> Kept | None:
        """What the plugins say that go by a node's own resources; None where they must be asked one by one.

        That is where one of them fails, and while any plugin is suspect: so each of them passes or fails by itself.
        """
        if self._conduct.suspects:
            return None
        start = state.probe.start() if state.probe.each else 0.0
        try:
            kept = self._sum.kept(cls, nodes, base)
        except Exception:  # noqa: BLE001 - whose it is shows as they are asked one by one
            return None
        if state.probe.each:
            state.probe.plugin(self._sum.name, SCORE, start)
        return kept


def check(scores: Scores | int, width: int) -> None:
    """Looks whether a plugin has said what it may. Raises TypeError, ValueError."""
    if isinstance(scores, int):
        right = 0 <= scores <= MAX_SCORE
    elif scores.dtype != np.int64 or scores.shape != (width,):
        raise TypeError(f"score must return int64[{width}], not {scores.dtype}{list(scores.shape)}")
    else:
        right = np.maximum.reduce(scores.view(np.uint64)) <= MAX_SCORE  # negative ones look large, too
    if not right:
        raise ValueError(f"scores must be 0 to {MAX_SCORE}, not {np.min(scores)} to {np.max(scores)}")
