"""A diagnosis that is brought up to date for one node is what it would be if it had been made so."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stowplan.framework.status import UNRESOLVABLE, UNSCHEDULABLE, Diagnosis, Mask, Reject, Verdict

NODES = 5
KINDS = [
    ("Fit", "Insufficient cpu", UNSCHEDULABLE),
    ("Fit", "Insufficient cpu", UNRESOLVABLE),
    ("Fit", "Insufficient memory", UNSCHEDULABLE),
    ("Taint", "untolerated", UNRESOLVABLE),
    ("Spread", "uneven", UNSCHEDULABLE),
]


def diagnosis(codes: list[int]) -> Diagnosis:
    """Each node counts for the kind of its code."""
    return Diagnosis(NODES, [verdict(kind, np.array(codes) == kind) for kind in range(len(KINDS))])


def verdict(kind: int, mask: Mask) -> Verdict:
    plugin, reason, resolution = KINDS[kind]
    return Verdict(plugin, rejects=(Reject(mask, reason, resolution),))


@given(
    codes=st.lists(st.integers(0, len(KINDS) - 1), min_size=NODES, max_size=NODES),
    changes=st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, len(KINDS) - 1)), min_size=1),
)
def test_it_is_as_if_made_anew(codes: list[int], changes: list[tuple[int, int]]) -> None:
    before = found = diagnosis(codes)
    before.after, before.beyond = "nothing to be done", frozenset({"Zone"})
    said = before.message
    for row, kind in changes:
        codes[row] = kind
        found = found.amended(row, verdict(kind, np.ones(NODES, dtype=np.bool_)))
    anew = diagnosis(codes)
    assert found.reasons == anew.reasons
    assert found.message == f"{anew.message} nothing to be done"
    assert np.array_equal(found.unresolvable, anew.unresolvable)
    for row in range(NODES):
        assert found.barred_by(row) == anew.barred_by(row)
        assert found.rejected_by(row) == KINDS[codes[row]][0]
    assert found.plugins.keys() == before.plugins.keys() | {KINDS[kind][0] for _, kind in changes}
    assert found.beyond == before.beyond
    assert before.message == said, "the old one is as it was"
