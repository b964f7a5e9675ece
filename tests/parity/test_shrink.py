from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.parity.draw import Object
from tests.parity.shrink import shrink


def _object(name: str, spec: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


def _named(items: list[Object]) -> set[str]:
    return {str(each["metadata"]["name"]) for each in items if isinstance(each["metadata"], dict)}


def test_what_does_not_matter_goes() -> None:
    bad: Object = {"replicas": 3, "terms": [{"key": "a"}, {"key": "b", "values": ["x", "y"]}], "more": {"deep": True}}
    items = [_object(f"other{number}", {"a": number}) for number in range(9)]
    items.insert(5, _object("bad", bad))

    def fails(smaller: list[Object]) -> bool:
        return any("'values': ['y']" in str(each) or "'values': ['x', 'y']" in str(each) for each in smaller)

    assert shrink(items, fails) == [_object("bad", {"terms": [{"values": ["y"]}]})]


def test_the_original_is_left_alone() -> None:
    items = [_object("a", {"x": [1, 2, 3]})]
    assert shrink(items, bool) != items
    assert items == [_object("a", {"x": [1, 2, 3]})]


def test_it_stops_when_it_may_try_no_more() -> None:
    tried: list[int] = []

    def fails(smaller: list[Object]) -> bool:
        tried.append(len(smaller))
        return False

    shrink([_object(str(number), {"a": 1}) for number in range(40)], fails, tries=25)
    assert len(tried) == 25


@given(st.sets(st.integers(0, 30), min_size=1, max_size=4))
def test_exactly_the_objects_that_are_needed_together_stay(needed: set[int]) -> None:
    wanted = {f"o{number}" for number in needed}
    items = [_object(f"o{number}", {}) for number in range(31)]
    assert _named(shrink(items, lambda smaller: wanted <= _named(smaller))) == wanted
