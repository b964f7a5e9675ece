from __future__ import annotations

import os

import pytest
from tests.bench.meter import Sample
from tests.controlplane.process import Usage

CORES = os.cpu_count() or 1


def sample(at: float, *, scheduler: float, api: float, etcd: float, own: float, machine: float) -> Sample:
    return Sample(at, Usage(scheduler, 0, 0), Usage(api, 0, 0), Usage(etcd, 0, 0), own, machine)


@pytest.mark.parametrize(
    ("machine", "share"),
    [
        pytest.param(1000.0 + 10.0, 0.0, id="nobody else"),
        pytest.param(1000.0 + 10.0 + 5.0 * CORES, 0.5, id="half of all cores"),
        pytest.param(1000.0 + 9.99, 0.0, id="clocks that do not quite agree"),
    ],
)
def test_what_the_measured_processes_have_not_used_went_to_others(machine: float, share: float) -> None:
    before = sample(0.0, scheduler=0.0, api=7.0, etcd=3.0, own=1.0, machine=1000.0)
    after = sample(10.0, scheduler=4.0, api=11.0, etcd=4.0, own=2.0, machine=machine)
    assert after.others_since(before) == pytest.approx(share)


def test_no_time_has_no_share() -> None:
    now = sample(1.0, scheduler=0.0, api=0.0, etcd=0.0, own=0.0, machine=0.0)
    assert now.others_since(now) == 0.0
