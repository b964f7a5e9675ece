from __future__ import annotations

import pytest
from tests.builders import taint, toleration

from stowplan.model import objects, tolerations


@pytest.mark.parametrize(
    ("mine", "theirs", "tolerated"),
    [
        pytest.param(toleration("k", "Equal", "v", "NoSchedule"), "k=v:NoSchedule", True, id="equal"),
        pytest.param(toleration("k", "", "v", "NoSchedule"), "k=v:NoSchedule", True, id="no operator is Equal"),
        pytest.param(toleration("k", "Equal", "v", ""), "k=v:NoExecute", True, id="no effect is every effect"),
        pytest.param(toleration("k", "Equal", "v", "NoSchedule"), "k=v:NoExecute", False, id="another effect"),
        pytest.param(toleration("k", "Equal", "v"), "k=w:NoSchedule", False, id="another value"),
        pytest.param(toleration("k", "Equal", "v"), "l=v:NoSchedule", False, id="another key"),
        pytest.param(toleration("k", "Exists"), "k=w:NoSchedule", True, id="Exists takes every value"),
        pytest.param(toleration("", "Exists"), "l=w:NoSchedule", True, id="Exists without a key takes every taint"),
        pytest.param(toleration("k", "Equal"), "k:NoSchedule", True, id="empty value"),
        pytest.param(toleration("k", "Near", "v"), "k=v:NoSchedule", False, id="unknown operator"),
        pytest.param(toleration("k", "Gt", "5"), "k=6:NoSchedule", True, id="Gt: the taint is greater"),
        pytest.param(toleration("k", "Gt", "5"), "k=5:NoSchedule", False, id="Gt: equal"),
        pytest.param(toleration("k", "Lt", "5"), "k=-6:NoSchedule", True, id="Lt"),
        pytest.param(toleration("k", "Lt", "5"), "k=04:NoSchedule", False, id="Lt: leading zeros are no number here"),
        pytest.param(toleration("k", "Lt", "5"), "k=x:NoSchedule", False, id="Lt: no number"),
        pytest.param(toleration("k", "Lt", "+5"), "k=4:NoSchedule", False, id="Lt: nor is a plus sign"),
        pytest.param(toleration("k", "Gt", "5"), "k=9223372036854775808:NoSchedule", False, id="Gt: beyond int64"),
    ],
)
def test_a_toleration_tolerates_a_taint(mine: objects.Toleration, theirs: str, tolerated: bool) -> None:
    assert tolerations.tolerates(mine, taint(theirs)) is tolerated
    assert tolerations.any_tolerates([toleration("other"), mine], taint(theirs)) is tolerated


def test_the_first_untolerated_taint_of_an_effect_is_found() -> None:
    taints = [taint("a:PreferNoSchedule"), taint("b:NoSchedule"), taint("c:NoSchedule")]
    hard = frozenset({"NoSchedule"})
    assert tolerations.first_untolerated(taints, [], hard) == taint("b:NoSchedule")
    assert tolerations.first_untolerated(taints, [toleration("b", "Exists")], hard) == taint("c:NoSchedule")
    assert tolerations.first_untolerated(taints, iter([toleration("", "Exists")]), hard) is None
    assert tolerations.first_untolerated(taints[:1], [], hard) is None
