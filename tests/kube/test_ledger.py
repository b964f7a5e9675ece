"""The ledger turns lists and watches into one gapless story per key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stowplan.kube.ledger import Change, Event, Ledger
from stowplan.model.objects import Namespace, ObjectMeta


def thing(name: str, uid: str, version: int) -> Namespace:
    return Namespace(metadata=ObjectMeta(name=name, uid=uid, resource_version=str(version)))


def told(events: list[Event[Namespace]]) -> list[tuple[str, str, str]]:
    return [(event.change.name, event.key, event.uid) for event in events]


def test_first_list_adds_everything() -> None:
    ledger: Ledger[Namespace] = Ledger()
    ledger.begin()

    assert told(ledger.page([thing("a", "1", 1), thing("b", "2", 2)])) == [("ADDED", "a", "1"), ("ADDED", "b", "2")]
    assert ledger.end() == []


def test_second_list_tells_only_what_differs_and_what_is_gone() -> None:
    ledger: Ledger[Namespace] = Ledger()
    ledger.begin()
    ledger.page([thing("same", "1", 1), thing("changed", "2", 2), thing("gone", "3", 3)])
    ledger.end()

    ledger.begin()
    first = ledger.page([thing("same", "1", 1), thing("changed", "2", 9)])
    last = ledger.end()

    assert told(first) == [("MODIFIED", "changed", "2")]
    assert told(last) == [("DELETED", "gone", "3")]
    assert last[0].object is None


def test_object_made_again_under_its_old_name_is_deleted_then_added() -> None:
    ledger: Ledger[Namespace] = Ledger()
    ledger.put(thing("a", "old", 1))
    ledger.begin()

    assert told(ledger.page([thing("a", "new", 5)])) == [("DELETED", "a", "old"), ("ADDED", "a", "new")]


def test_object_that_became_unreadable_is_not_taken_for_deleted() -> None:
    ledger: Ledger[Namespace] = Ledger()
    ledger.put(thing("a", "1", 1))
    ledger.begin()
    ledger.page([], unreadable=["a"])

    assert ledger.end() == []


def test_deletion_of_what_was_never_told_is_not_told() -> None:
    ledger: Ledger[Namespace] = Ledger()

    assert ledger.remove("a", thing("a", "1", 2)) == []


def test_deletion_carries_the_last_state_of_that_very_object() -> None:
    ledger: Ledger[Namespace] = Ledger()
    ledger.put(thing("a", "1", 1))

    (event,) = ledger.remove("a", thing("a", "1", 2))

    assert event.object is not None
    assert event.object.metadata.resource_version == "2"


Objects = dict[str, tuple[str, int]]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Objects]]:
    """States of the world one after the other, each seen by a watch (every change) or by a list (the result)."""
    steps: list[tuple[str, Objects]] = []
    world: Objects = {}
    version = 0
    for _ in range(draw(st.integers(1, 12))):
        for _ in range(draw(st.integers(0, 4))):
            version += 1
            name = draw(st.sampled_from("abc"))
            match draw(st.sampled_from(["put", "remove", "replace"])):
                case "put":
                    world = {**world, name: (world.get(name, (f"uid-{version}", 0))[0], version)}
                case "remove":
                    world = {key: value for key, value in world.items() if key != name}
                case _:
                    world = {**world, name: (f"uid-{version}", version)}
        steps.append((draw(st.sampled_from(["list", "watch"])), world))
    return steps


@given(histories())
def test_replaying_what_was_told_always_gives_the_world(history: list[tuple[str, Objects]]) -> None:
    ledger: Ledger[Namespace] = Ledger()
    mirror: Objects = {}
    before: Objects = {}
    for how, world in history:
        things = [thing(name, uid, version) for name, (uid, version) in world.items()]
        events: list[Event[Namespace]] = []
        if how == "list":
            ledger.begin()
            events += ledger.page(things[:1]) + ledger.page(things[1:]) + ledger.end()
        else:
            for name in before.keys() - world.keys():
                events += ledger.remove(name, None)
            for item in things:
                if before.get(item.key) != world[item.key]:
                    events += ledger.put(item)
        for event in events:
            if event.change is Change.DELETED:
                assert mirror.pop(event.key)[0] == event.uid
            else:
                assert (event.key in mirror) == (event.change is Change.MODIFIED)
                assert event.change is Change.ADDED or mirror[event.key][0] == event.uid
                assert event.object is not None
                mirror[event.key] = (event.uid, int(event.object.metadata.resource_version))
        assert mirror == world
        assert len(ledger) == len(world)
        before = world
