from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowplan import errors
from stowplan.model import quantity


@pytest.mark.parametrize(
    ("text", "whole", "milli"),
    [
        pytest.param("0", 0, 0, id="zero"),
        pytest.param("1", 1, 1000, id="one"),
        pytest.param(3, 3, 3000, id="an integer"),
        pytest.param(0.5, 1, 500, id="a float"),
        pytest.param("500m", 1, 500, id="thousandths"),
        pytest.param("1500m", 2, 1500, id="whole units round up"),
        pytest.param("1u", 1, 1, id="millionths round up"),
        pytest.param("1n", 1, 1, id="billionths round up"),
        pytest.param("2k", 2000, 2_000_000, id="k"),
        pytest.param("1.5Gi", 1536 * 2**20, 1536 * 2**20 * 1000, id="a fraction of a binary unit"),
        pytest.param("1G", 10**9, 10**12, id="decimal unit"),
        pytest.param(".5", 1, 500, id="no leading zero"),
        pytest.param("5.", 5, 5000, id="nothing after the point"),
        pytest.param("+7", 7, 7000, id="a plus sign"),
        pytest.param("1e3", 1000, 10**6, id="exponent"),
        pytest.param("1E3", 1000, 10**6, id="capital exponent"),
        pytest.param("12e-3", 1, 12, id="negative exponent"),
        pytest.param("1E", 10**18, 2**63 - 1, id="exa, capped in thousandths"),
        pytest.param("100Ei", 2**63 - 1, 2**63 - 1, id="more than int64"),
        pytest.param("1e999999999", 2**63 - 1, 2**63 - 1, id="a huge exponent costs nothing"),
        pytest.param("1e-999999999", 1, 1, id="a tiny one neither"),
    ],
)
def test_quantities_are_read_as_the_api_server_reads_them(text: str | float, whole: int, milli: int) -> None:
    assert quantity.value(text) == whole
    assert quantity.milli(text) == milli


def test_cpu_is_counted_in_thousandths_and_all_else_whole() -> None:
    assert quantity.of("cpu", "250m") == 250
    assert quantity.of("memory", "250m") == 1
    assert quantity.of("example.com/gpu", "2") == 2


@pytest.mark.parametrize("text", ["", "x", "1x", "1 Gi", "1gi", "Gi", ".", "--1", "1e", "1_000", "\u0661", "1" * 5000])
def test_what_is_no_quantity_is_named_in_the_error(text: str) -> None:
    with pytest.raises(errors.InvalidObject, match="is not a number"):
        quantity.value(text)


@given(st.integers(0, 10**12), st.sampled_from(["", "k", "M", "Ki", "Mi"]))
def test_whole_numbers_are_exact(number: int, suffix: str) -> None:
    factor = {"": 1, "k": 1000, "M": 10**6, "Ki": 2**10, "Mi": 2**20}[suffix]
    assert quantity.value(f"{number}{suffix}") == min(number * factor, 2**63 - 1)


@given(st.integers(0, 10**9))
def test_thousandths_round_up_to_whole_units(number: int) -> None:
    assert quantity.milli(f"{number}m") == number
    assert quantity.value(f"{number}m") == -(-number // 1000)
