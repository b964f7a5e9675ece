from __future__ import annotations

import pytest
from tests.bench import preemptors


@pytest.mark.parametrize("kind", [pytest.param(each, id=each.name) for each in preemptors.kinds()])
def test_each_pod_in_a_row_is_promised_a_node_and_gets_it(kind: preemptors.Kind) -> None:
    row = preemptors.measure(kind, nodes=9, pods=6)
    assert (row.promises, row.placed) == (6, 6)
    assert row.at(6) > 0
    assert row.after > 0
