from __future__ import annotations

import pytest
from tests.parity import world
from tests.parity.draw import Object


def _part(item: Object, *path: str) -> object:
    value: object = item
    for step in path:
        assert isinstance(value, dict)
        value = value.get(step)
    return value


def test_a_seed_gives_the_same_state_every_time() -> None:
    assert world.state("one") == world.state("one")
    assert world.state("one") != world.state("two")


@pytest.mark.parametrize("feature", world.FEATURES)
def test_a_state_is_full_of_what_is_asked_for(feature: str) -> None:
    assert {world.state(f"seed-{number}", [feature])[1] for number in range(20)} == {frozenset({feature})}


def test_states_have_the_sizes_that_are_promised() -> None:
    for number in range(50):
        items, _ = world.state(f"size-{number}")
        pods = [each for each in items if each["kind"] == "Pod"]
        pending = [each for each in pods if not _part(each, "spec", "nodeName")]
        assert 3 <= sum(each["kind"] == "Node" for each in items) <= 25
        assert 5 <= len(pending) <= 20
        assert len(pods) - len(pending) <= 40


def test_no_two_volumes_are_equally_good() -> None:
    for number in range(50):
        items, _ = world.state(f"volumes-{number}", ["volumes"])
        volumes = [each for each in items if each["kind"] == "PersistentVolume"]
        assert len({_part(each, "spec", "capacity", "storage") for each in volumes}) == len(volumes)


def test_names_are_unique() -> None:
    for number in range(50):
        items, _ = world.state(f"names-{number}")
        known = {
            (each["kind"], _part(each, "metadata", "namespace"), _part(each, "metadata", "name")) for each in items
        }
        assert len(known) == len(items)
