"""Factorised columns: a string per node as an integer code, one entry per distinct value.

A rule over strings runs once per distinct value and is gathered by code: 5,000 nodes in three zones need three
evaluations, not 5,000.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from stowplan.framework.status import Mask

T = TypeVar("T", bound=Hashable)
Codes = npt.NDArray[np.int32]


class Column(Generic[T]):
    """One value per node, ``None`` where a node has none.

    Attributes:
        values: the distinct values by code; ``values[0]`` is always ``None``. Values that no node has any more
            may linger.
    """

    __slots__ = ("_codes", "_index", "_size", "values")

    def __init__(self, size: int) -> None:
        self._codes: Codes = np.zeros(max(size, 16), dtype=np.int32)
        self._size = size
        self.values: list[T | None] = [None]
        self._index: dict[T | None, int] = {None: 0}

    @classmethod
    def of(cls, values: Sequence[T | None]) -> Column[T]:
        """A column of these values: as one that was filled by ``put``, in a tenth of the time."""
        column = cls(len(values))
        for value in dict.fromkeys(values):
            if value is not None:
                column._index[value] = len(column.values)
                column.values.append(value)
        column._codes[: len(values)] = np.fromiter(map(column._index.__getitem__, values), np.int32, len(values))
        return column

    @property
    def codes(self) -> Codes:
        """int32[node]: index into ``values``; 0 where absent. A view: do not write."""
        return self._codes[: self._size]

    @property
    def present(self) -> Mask:
        """bool[node]: where there is a value."""
        mask: Mask = self.codes != 0
        return mask

    def code(self, value: T) -> int:
        """The code of a value, or -1 where no node ever had it."""
        return self._index.get(value, -1)

    def at(self, row: int) -> T | None:
        """The value of one node."""
        return self.values[int(self._codes[row])]

    def where(self, predicate: Callable[[T | None], bool]) -> Mask:
        """bool[node]: where the predicate holds; it is called once per distinct value, and for ``None``."""
        table = np.fromiter(map(predicate, self.values), dtype=np.bool_, count=len(self.values))
        return table[self.codes]

    def put(self, row: int, value: T | None) -> None:
        """Sets the value of one node, growing the column to hold it."""
        if row >= len(self._codes):
            self._codes = np.concatenate([self._codes, np.zeros(max(row + 1, len(self._codes)), dtype=np.int32)])
        self._size = max(self._size, row + 1)
        code = self._index.get(value)
        if code is None:
            code = self._index[value] = len(self.values)
            self.values.append(value)
        self._codes[row] = code

    def truncate(self, size: int) -> None:
        """Forgets the rows from ``size`` on."""
        self._codes[size : self._size] = 0
        self._size = size
