"""A small linear program over whole numbers, and HiGHS to solve it. Called by ``scheduler.solver`` alone.

HiGHS is imported at the first program: most schedulers never meet a question that needs it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Status(enum.Enum):
    """What became of a program."""

    SOLVED = "solved"
    IMPOSSIBLE = "impossible"
    OUT_OF_TIME = "out of time"


class Clock:
    """The seconds that are left for a question, as HiGHS itself counts them.

    Attributes:
        left: seconds.
    """

    def __init__(self, seconds: float) -> None:
        self.left = seconds


class Program:
    """Variables that are whole numbers, and rows ``sum(coefficient * variable) in [low, high]``.

    Attributes:
        values: of the variables, once it is solved.
    """

    def __init__(self) -> None:
        self._upper: list[float] = []
        self._gain: list[float] = []
        self._starts = [0]
        self._columns: list[int] = []
        self._coefficients: list[float] = []
        self._low: list[float] = []
        self._high: list[float] = []
        self.values: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._upper)

    def variable(self, upper: int, *, gain: float = 0.0) -> int:
        """A new variable, 0 to ``upper``; ``gain`` is what one of it is worth. Returns its number."""
        self._upper.append(upper)
        self._gain.append(gain)
        return len(self._upper) - 1

    def at_most(self, terms: Sequence[tuple[int, int]], high: int) -> None:
        """``sum(coefficient * variable) <= high`` over (variable, coefficient)."""
        self._row(terms, None, high)

    def at_least(self, terms: Sequence[tuple[int, int]], low: int) -> None:
        """``sum(coefficient * variable) >= low`` over (variable, coefficient)."""
        self._row(terms, low, None)

    def solve(self, clock: Clock, *, close: float = 0.0) -> Status:
        """Looks for values, the most gainful there are, or that it finds in time.

        Args:
            clock: how long it may take, and how long it took.
            close: the share of the gain that may be missing.
        """
        import highspy  # noqa: PLC0415 - 5 MiB that most processes never need

        if not self._upper:
            possible = all(low <= 0 <= high for low, high in zip(self._low, self._high, strict=True))
            return Status.SOLVED if possible else Status.IMPOSSIBLE
        if clock.left <= 0:
            return Status.OUT_OF_TIME
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self._upper), len(self._low)
        lp.col_cost_ = -np.array(self._gain)
        lp.col_lower_ = np.zeros(len(self._upper))
        lp.col_upper_ = np.array(self._upper, dtype=np.float64)
        lp.row_lower_ = np.array(self._low, dtype=np.float64)
        lp.row_upper_ = np.array(self._high, dtype=np.float64)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.array(self._starts)
        lp.a_matrix_.index_ = np.array(self._columns)
        lp.a_matrix_.value_ = np.array(self._coefficients, dtype=np.float64)
        lp.integrality_ = [highspy.HighsVarType.kInteger] * len(self._upper)
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)  # the other cores have other things to do
        solver.setOptionValue("time_limit", clock.left)
        solver.setOptionValue("mip_abs_gap", 0.99)  # gains are whole numbers
        solver.setOptionValue("mip_rel_gap", close)
        solver.passModel(lp)
        solver.run()
        clock.left -= solver.getRunTime()
        status = solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return Status.IMPOSSIBLE
        if solver.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return Status.OUT_OF_TIME
        self.values = np.rint(np.array(solver.getSolution().col_value)).astype(np.int64)
        return Status.SOLVED

    def _row(self, terms: Sequence[tuple[int, int]], low: int | None, high: int | None) -> None:
        # bytes and thousandths side by side: each row in units of its largest number, so that none drowns
        if not terms and (low is None or low <= 0) and (high is None or high >= 0):
            return
        unit = max((abs(coefficient) for _, coefficient in terms), default=1) or 1
        self._columns.extend(variable for variable, _ in terms)
        self._coefficients.extend(coefficient / unit for _, coefficient in terms)
        self._starts.append(len(self._columns))
        self._low.append(-np.inf if low is None else low / unit)
        self._high.append(np.inf if high is None else high / unit)
