"""Kubernetes quantities: ``500m``, ``1.5Gi``, ``2e3`` to integers.

Both readings round up, as the API's do. Source: apimachinery v0.36.3, ``pkg/api/resource/quantity.go``.
"""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction

from stowplan import errors

_PATTERN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
_SUFFIX = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40),
    "Pi": Fraction(2**50), "Ei": Fraction(2**60),
}  # fmt: skip
_MAX = 2**63 - 1
_LONGEST = 100
_EXPONENTS = 100  # what lies beyond is more than int64 or less than a billionth either way


def parse(quantity: str | float) -> Fraction:
    """The exact value of a quantity.

    Raises:
        InvalidObject: it is not a quantity.
    """
    text = str(quantity)
    match = _PATTERN.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise errors.InvalidObject(
            "quantity", repr(quantity), "is not a number with an optional suffix such as m, k, Mi"
        )
    number, exponent, suffix = match.groups()
    value = Fraction(number)
    if exponent:
        return value * Fraction(10) ** max(-_EXPONENTS, min(int(exponent[1:]), _EXPONENTS))
    return value * _SUFFIX[suffix] if suffix else value


@functools.lru_cache(maxsize=4096)
def value(quantity: str | float) -> int:
    """Whole units, rounded up and capped to int64: bytes, pods, devices. Raises InvalidObject."""
    return min(math.ceil(parse(quantity)), _MAX)


@functools.lru_cache(maxsize=4096)
def milli(quantity: str | float) -> int:
    """Thousandths, rounded up and capped to int64: CPU. Raises InvalidObject."""
    return min(math.ceil(parse(quantity) * 1000), _MAX)


@functools.lru_cache(maxsize=4096)
def thousandths(quantity: str | float) -> int:
    """Thousandths, rounded up, of any size: what is to be added up before it is rounded. Raises InvalidObject."""
    return math.ceil(parse(quantity) * 1000)


def rounded(resource: str, amount: int) -> int:
    """An amount in thousandths as the integer that the resource is counted in, see ``of``."""
    return min(amount if resource == "cpu" else -(-amount // 1000), _MAX)


def of(resource: str, quantity: str | float) -> int:
    """The integer a resource is counted in: milli-CPU for ``cpu``, whole units for all others."""
    return milli(quantity) if resource == "cpu" else value(quantity)
