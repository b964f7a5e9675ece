from __future__ import annotations

import pytest

from stowplan.model.words import counted


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        pytest.param(1, ("member",), "1 member", id="one"),
        pytest.param(2, ("member",), "2 members", id="several"),
        pytest.param(0, ("member",), "0 members", id="none"),
        pytest.param(1, ("policy", "policies"), "1 policy", id="one of an irregular kind"),
        pytest.param(2, ("policy", "policies"), "2 policies", id="several of an irregular kind"),
        pytest.param(1, ("node is feasible", "nodes are feasible"), "1 node is feasible", id="with its verb"),
    ],
)
def test_what_is_counted_agrees_with_the_number(number: int, words: tuple[str, ...], expected: str) -> None:
    assert counted(number, *words) == expected
