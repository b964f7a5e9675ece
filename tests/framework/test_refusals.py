from __future__ import annotations

from stowplan.framework.refusals import FIRST, LONGEST, Refusals


def test_a_claim_is_kept_from_the_node_for_a_while() -> None:
    refusals = Refusals()
    refusals.refuse("ns/c", "u", "n1", 100)
    assert set(refusals.nodes("ns/c")) == {"n1"}
    assert set(refusals.nodes("ns/other")) == set()
    assert refusals.due() == 100 + FIRST
    assert refusals.expire(100 + FIRST - 1) == []
    assert refusals.expire(100 + FIRST) == ["ns/c"]
    assert set(refusals.nodes("ns/c")) == set()
    assert refusals.due() is None


def test_each_further_refusal_lasts_twice_as_long_wherever_it_was_up_to_the_most() -> None:
    refusals = Refusals()
    refusals.refuse("ns/c", "u", "n1", 0)
    refusals.refuse("ns/c", "u", "n2", 0)
    assert refusals.expire(FIRST) == ["ns/c"]
    assert set(refusals.nodes("ns/c")) == {"n2"}
    assert refusals.due() == 2 * FIRST
    for _ in range(40):
        refusals.expire(10 * LONGEST)
        refusals.refuse("ns/c", "u", "n1", 0)
    assert refusals.due() == LONGEST


def test_several_pods_of_one_claim_say_the_same_once() -> None:
    refusals = Refusals()
    for _ in range(3):
        refusals.refuse("ns/c", "u", "n1", 0)
    assert refusals.due() == FIRST


def test_a_claim_that_has_a_volume_or_was_made_anew_starts_afresh() -> None:
    for uid, bound in (("u", True), ("other", False)):
        refusals = Refusals()
        refusals.refuse("ns/c", "u", "n1", 0)
        refusals.seen("ns/c", uid, bound=bound)
        assert set(refusals.nodes("ns/c")) == set()
        refusals.refuse("ns/c", uid, "n1", 0)
        assert refusals.due() == FIRST


def test_a_claim_that_is_seen_as_it_was_stays_away_from_the_node() -> None:
    refusals = Refusals()
    refusals.refuse("ns/c", "u", "n1", 0)
    refusals.seen("ns/c", "u", bound=False)
    assert set(refusals.nodes("ns/c")) == {"n1"}
