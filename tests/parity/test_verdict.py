from __future__ import annotations

import pytest
from tests.parity.verdict import Rejection, Score, Verdict, differences

FIT = Rejection("NodeResourcesFit", ("Insufficient cpu", "Insufficient example.com/gpu"))
FULL = Verdict((), {"a": FIT}, {}, message="0/1 nodes are available: 1 Insufficient cpu.")
GOOD = Verdict(("a",), {"b": FIT}, {"a": Score(7, {"ImageLocality": 7})})


@pytest.mark.parametrize(
    ("ours", "theirs", "kinds"),
    [
        pytest.param(GOOD, GOOD, [], id="nothing"),
        pytest.param(FULL, FULL, [], id="nothing, no node"),
        pytest.param(GOOD, FULL, ["feasible", "message"], id="feasible or not"),
        pytest.param(
            FULL,
            Verdict((), {"a": Rejection("NodePorts", FIT.reasons)}, {}, message=FULL.message),
            ["reason"],
            id="the plugin",
        ),
        pytest.param(
            FULL,
            Verdict((), {"a": Rejection(FIT.plugin, FIT.reasons[:1])}, {}, message=FULL.message),
            ["reason"],
            id="a reason less",
        ),
        pytest.param(
            FULL,
            Verdict((), {"a": Rejection(FIT.plugin, FIT.reasons, unresolvable=True)}, {}, message=FULL.message),
            ["reason"],
            id="whether evictions help",
        ),
        pytest.param(
            FULL,
            Verdict((), {"a": Rejection(FIT.plugin, FIT.reasons[::-1])}, {}, message=FULL.message),
            [],
            id="reasons in another order are the same",
        ),
        pytest.param(
            Verdict((), {}, {}, refused=FIT),
            Verdict((), {}, {}),
            ["refused"],
            id="refused before any node is looked at",
        ),
        pytest.param(
            GOOD,
            Verdict(("a",), {"b": FIT}, {"a": Score(9, {"ImageLocality": 9})}),
            ["score of ImageLocality", "total score"],
            id="a score",
        ),
        pytest.param(
            GOOD,
            Verdict(("a",), {"b": FIT}, {"a": Score(7, {"ImageLocality": 7, "NodeAffinity": 0})}),
            [],
            id="a plugin with nothing to say gives 0",
        ),
        pytest.param(GOOD, Verdict((), {}, {}, error="boom"), ["error"], id="an error"),
    ],
)
def test_every_difference_has_its_kind(ours: Verdict, theirs: Verdict, kinds: list[str]) -> None:
    assert [each.kind for each in differences(ours, theirs)] == kinds
    assert [each.kind for each in differences(theirs, ours)] == kinds
