from __future__ import annotations

import pytest
from tests.bench import preemptors


@pytest.mark.parametrize("kind", [pytest.param(each, id=each.name) for each in preemptors.kinds()])
def test_each_pod_in_a_row_is_promised_a_node_and_gets_it(kind: preemptors.Kind) -> None:
    row = preemptors.measure(kind, nodes=9, pods=6)
    assert (row.promises, row.placed) == (6, 6)
    assert row.at(6) > 0
    assert row.after > 0


def test_a_pod_that_is_too_late_for_its_node_gets_another_one_after_its_backoff() -> None:
    (even,) = (kind for kind in preemptors.kinds() if kind.name == "spread over zones")
    row = preemptors.measure(even, nodes=60, pods=60)
    assert row.late
    assert row.placed == 60
