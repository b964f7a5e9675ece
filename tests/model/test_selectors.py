from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import Expression, node_term, selector

from stowplan import errors
from stowplan.model import objects, selectors


@pytest.mark.parametrize(
    ("expression", "have", "allowed"),
    [
        pytest.param(("k", "In", ["a", "b"]), "a", True, id="In"),
        pytest.param(("k", "In", ["a", "b"]), "c", False, id="In, another value"),
        pytest.param(("k", "In", ["a"]), None, False, id="In, absent"),
        pytest.param(("k", "In", [""]), "", True, id="In, empty value"),
        pytest.param(("k", "NotIn", ["a"]), "b", True, id="NotIn"),
        pytest.param(("k", "NotIn", ["a"]), "a", False, id="NotIn, the value"),
        pytest.param(("k", "NotIn", ["a"]), None, True, id="NotIn, absent"),
        pytest.param(("k", "Exists"), "", True, id="Exists with an empty value"),
        pytest.param(("k", "Exists"), None, False, id="Exists, absent"),
        pytest.param(("k", "DoesNotExist"), None, True, id="DoesNotExist"),
        pytest.param(("k", "DoesNotExist"), "", False, id="DoesNotExist, empty value"),
        pytest.param(("k", "Gt", ["5"]), "6", True, id="Gt"),
        pytest.param(("k", "Gt", ["5"]), "5", False, id="Gt, equal"),
        pytest.param(("k", "Gt", ["5"]), "10", True, id="Gt compares numbers, not text"),
        pytest.param(("k", "Lt", ["5"]), "-6", True, id="Lt, negative"),
        pytest.param(("k", "Lt", ["5"]), "+4", True, id="Lt, plus sign"),
        pytest.param(("k", "Lt", ["5"]), "004", True, id="Lt, leading zeros"),
        pytest.param(("k", "Lt", ["5"]), None, False, id="Lt, absent"),
        pytest.param(("k", "Lt", ["5"]), "four", False, id="Lt, no number"),
        pytest.param(("k", "Lt", ["5"]), "1_0", False, id="Lt, underscores are no digits"),
        pytest.param(("k", "Lt", ["5"]), " 4", False, id="Lt, spaces are no digits"),
        pytest.param(("k", "Lt", ["5"]), "4.0", False, id="Lt, no integer"),
        pytest.param(("k", "Gt", ["5"]), "9223372036854775807", True, id="Gt, the largest int64"),
        pytest.param(("k", "Gt", ["5"]), "9223372036854775808", False, id="Gt, beyond int64"),
        pytest.param(("k", "Gt", ["x"]), "6", False, id="Gt than what is no number"),
        pytest.param(("k", "Lt", [""]), "6", False, id="Lt than nothing"),
    ],
)
def test_a_requirement_allows_a_label_value_or_its_absence(
    expression: Expression, have: str | None, allowed: bool
) -> None:
    labels = {} if have is None else {"k": have}
    compiled = selectors.compile_node_selector(objects.NodeSelector([node_term(expression)]))
    assert compiled.matches(labels, "n") is allowed


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(("k", "Near", ["a"]), id="unknown operator"),
        pytest.param(("k", "In", []), id="In without values"),
        pytest.param(("k", "NotIn", []), id="NotIn without values"),
        pytest.param(("k", "Exists", ["a"]), id="Exists with a value"),
        pytest.param(("k", "DoesNotExist", ["a"]), id="DoesNotExist with a value"),
        pytest.param(("k", "Gt", ["1", "2"]), id="Gt with two values"),
        pytest.param(("k", "Lt", []), id="Lt without a value"),
    ],
)
def test_an_impossible_requirement_is_an_error_that_names_it(expression: Expression) -> None:
    with pytest.raises(errors.InvalidObject, match="selector: k: operator"):
        selectors.compile_selector(selector({}, expression))


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(("metadata.name", "In", ["a", "b"]), id="two names in one requirement"),
        pytest.param(("metadata.name", "Exists"), id="an operator for labels"),
        pytest.param(("metadata.uid", "In", ["a"]), id="another field"),
    ],
)
def test_match_fields_know_names_one_at_a_time(field: Expression) -> None:
    with pytest.raises(errors.InvalidObject, match="matchFields"):
        selectors.compile_node_term(node_term(names=[field]))


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selectors.compile_selector(None).matches({})
    assert selectors.compile_selector(selector()).matches({})
    assert selectors.compile_selector(selector()) == selectors.EVERYTHING


def test_all_requirements_of_a_selector_must_hold() -> None:
    both = selectors.compile_selector(selector({"a": "1"}, ("b", "Exists")))
    assert both.matches({"a": "1", "b": ""})
    assert not both.matches({"a": "1"})
    assert not both.matches({"b": ""})


def test_more_requirements_narrow_a_selector_and_leave_nothing_as_it_is() -> None:
    narrowed = selectors.EVERYTHING.also(selectors.equals("a", "1"))
    assert narrowed.matches({"a": "1"})
    assert not narrowed.matches({"a": "2"})
    assert selectors.NOTHING.also(selectors.equals("a", "1")) == selectors.NOTHING


@given(st.permutations([("a", "In", ["1", "2"]), ("b", "Exists"), ("c", "NotIn", ["3"])]))
def test_selectors_are_equal_in_whatever_order_they_are_written(expressions: list[Expression]) -> None:
    reference = selector({}, ("c", "NotIn", ["3"]), ("a", "In", ["2", "1"]), ("b", "Exists"))
    compiled = selectors.compile_selector(selector({}, *expressions))
    assert compiled == selectors.compile_selector(reference)
    assert hash(compiled) == hash(selectors.compile_selector(reference))


def test_a_node_selector_matches_any_of_its_terms_and_an_empty_term_none() -> None:
    compiled = selectors.compile_node_selector(
        objects.NodeSelector(
            [node_term(), node_term(("a", "Exists")), node_term(names=[("metadata.name", "In", ["n2"])])]
        )
    )
    assert compiled.matches({"a": ""}, "n1")
    assert compiled.matches({}, "n2")
    assert not compiled.matches({}, "n1")
    assert not selectors.compile_node_selector(objects.NodeSelector([])).matches({}, "n1")
