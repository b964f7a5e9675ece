"""The health server answers what its checks say, from the first moment on."""

from __future__ import annotations

import asyncio
import contextlib
import time

import aiohttp
import pytest

from stowplan import errors
from stowplan.app import fields, health, metrics

LOCAL = fields.Address("127.0.0.1", 0)


async def get(address: fields.Address, path: str, **headers: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}", headers=headers) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_a_process_without_checks_is_well_and_ready() -> None:
    async with health.serve(LOCAL, health=health.Health(), measured=metrics.Metrics()) as address:
        assert address.port != 0
        assert await get(address, "/healthz") == (200, "text/plain", "ok\n")
        assert await get(address, "/readyz") == (200, "text/plain", "ok\n")


async def test_each_path_has_its_own_checks_and_tells_them_all() -> None:
    state = health.Health()
    synced: list[str] = []
    state.require_to_live("watches", lambda: None)
    state.require_to_be_ready("caches", lambda: None if synced else "not synced yet")
    state.require_to_be_ready("crds", lambda: None)
    async with health.serve(LOCAL, health=state, measured=metrics.Metrics()) as address:
        assert await get(address, "/healthz") == (200, "text/plain", "[+]watches ok\nok\n")
        assert await get(address, "/readyz") == (
            503,
            "text/plain",
            "[-]caches failed: not synced yet\n[+]crds ok\nfailed\n",
        )
        synced.append("pods")
        assert (await get(address, "/readyz"))[0] == 200


async def test_json_is_given_to_whoever_accepts_it() -> None:
    state = health.Health()
    state.require_to_live("loop", lambda: "hung")
    state.tell("watchAgeSeconds", lambda: {"pods": 1.5})
    async with health.serve(LOCAL, health=state, measured=metrics.Metrics()) as address:
        status, kind, text = await get(address, "/healthz", Accept="application/json")
    assert (status, kind) == (503, "application/json")
    assert text == '{"ok": false, "checks": {"loop": "hung"}, "watchAgeSeconds": {"pods": 1.5}}'


async def test_metrics_are_served_as_prometheus_expects_them() -> None:
    measured = metrics.Metrics()
    measured.preemption(1)
    async with health.serve(LOCAL, health=health.Health(), measured=measured) as address:
        status, kind, text = await get(address, "/metrics")
    assert (status, kind) == (200, "text/plain")
    assert "\nscheduler_preemption_attempts_total 1.0\n" in text


async def test_anything_else_is_not_found() -> None:
    async with health.serve(LOCAL, health=health.Health(), measured=metrics.Metrics()) as address:
        assert (await get(address, "/"))[0] == 404


async def test_a_port_that_is_taken_is_an_error_of_the_user() -> None:
    async with health.serve(LOCAL, health=health.Health(), measured=metrics.Metrics()) as address:
        with pytest.raises(
            errors.UsageError,
            match=rf"cannot listen at {address}: Address already in use; give another --metrics-address",
        ):
            async with health.serve(address, health=health.Health(), measured=metrics.Metrics()):
                pass


async def test_the_port_is_free_again_afterwards() -> None:
    async with health.serve(LOCAL, health=health.Health(), measured=metrics.Metrics()) as address:
        pass
    async with health.serve(address, health=health.Health(), measured=metrics.Metrics()) as again:
        assert again == address


async def test_every_interface_is_listened_at_when_the_host_is_left_out() -> None:
    async with health.serve(LOCAL, health=health.Health(), measured=metrics.Metrics()) as free:
        pass
    everywhere = fields.Address("", free.port)
    async with health.serve(everywhere, health=health.Health(), measured=metrics.Metrics()) as address:
        assert address == everywhere
        assert (await get(free, "/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("ages", "reason"),
    [
        pytest.param({}, None, id="no watch"),
        pytest.param({"pods": 60.0, "nodes": 0.1}, None, id="fresh"),
        pytest.param({"pods": 61.0, "nodes": 0.1}, "nothing heard of pods for 61 s", id="one"),
        pytest.param(
            {"pods": 61.0, "nodes": 99.9},
            "nothing heard of nodes for 100 s, nothing heard of pods for 61 s",
            id="oldest first",
        ),
    ],
)
def test_a_watch_that_is_silent_for_too_long_is_named(ages: dict[str, float], reason: str | None) -> None:
    assert health.watches_are_fresh(lambda: ages, limit=60.0)() == reason


async def test_the_lag_of_the_loop_is_the_time_that_it_was_held_up() -> None:
    seen = asyncio.Queue[float]()
    lag = health.LoopLag(observe=seen.put_nowait, interval=0.01)
    task = asyncio.create_task(lag.run())
    await seen.get()
    time.sleep(0.2)  # noqa: ASYNC251 - this is what it is about
    assert await seen.get() >= 0.18
    assert lag.last >= 0.18
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_a_loop_that_hung_is_reported_until_the_next_timer_comes_in_time() -> None:
    lag = health.LoopLag(observe=lambda _: None)
    assert lag.check() is None
    lag.last = 12.0
    assert lag.check() == "the event loop hung for 12.0 s"
    lag.last = 0.1
    assert lag.check() is None
