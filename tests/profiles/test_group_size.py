"""How many pods a group has, and the pods that wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.builders import pod
from tests.plugins.generated import UNHURRIED

from stowplan.framework.snapshot import Snapshot
from stowplan.plugins.group_size import Backlog, DeclaredSet, GroupSizes
from stowplan.plugins.policy_rules import Governed

LABELS = [{"role": role, "member": str(member)} for role in ("data", "master") for member in range(3)]
GROUPS = [Governed("", "", group=(("role", "data"),)), Governed("", "", group=(("role", "absent"),)), Governed("", "")]


@UNHURRIED
@given(st.data())
def test_the_pods_that_wait_are_counted_as_they_come_and_go(data: st.DataObject) -> None:
    nodes, backlog = Snapshot(), Backlog()
    waiting: list[dict[str, str]] = []
    for _ in range(data.draw(st.integers(1, 12), label="changes")):
        leaves = data.draw(st.integers(-2, len(waiting) - 1), label="leaves")
        if leaves >= 0:
            labels = waiting.pop(leaves)
            backlog.remove(pod("p", labels=labels).cls, nodes)
        else:
            labels = data.draw(st.sampled_from(LABELS))
            waiting.append(labels)
            backlog.add(pod("p", labels=labels).cls, nodes)
        if data.draw(st.booleans(), label="policies change"):
            backlog.forget()
        for group in GROUPS:
            expected = sum(group.matches(pod("p", labels=each).cls, nodes) for each in waiting)
            assert backlog.count(group, nodes) == expected
        assert backlog.classes() == {pod("p", labels=each).cls for each in waiting}


def test_members_are_as_many_as_declared_and_others_as_many_as_there_are() -> None:
    nodes, backlog = Snapshot(), Backlog()
    nodes.policy_of = lambda cls: "prod/ha"  # noqa: ARG005 - whatever the class
    sets = (DeclaredSet({"set": "data"}, 5), DeclaredSet({"set": "master"}, 3))
    sizes = GroupSizes({"prod/orders": sets}, backlog)
    for _ in range(2):
        backlog.add(pod("p").cls, nodes)
    assert sizes(Governed("prod/ha", "orders"), nodes) == 8
    assert sizes(Governed("prod/ha", "orders", group=(("set", "data"),)), nodes) == 5
    assert sizes(Governed("prod/ha", "orders", group=(("set", None),)), nodes) == 0
    assert sizes(Governed("prod/ha", "unknown"), nodes) == 0
    assert sizes(Governed("prod/ha", ""), nodes) == 2
