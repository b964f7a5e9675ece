"""The wire that tests break leaves nothing open behind it, whenever it is cut."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import sys

import pytest
from tests.kube.proxy import Proxy

from stowplan.kube import config


async def cut_at_any_moment(chance: random.Random, *, answered: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:  # the kernel takes the connections, nobody reads
        server = f"https://127.0.0.1:{upstream.getsockname()[1]}"
        if not answered:
            upstream.close()
        async with Proxy(config.Cluster(server=server, tls=None, credentials=config.Anonymous())) as wire:
            port = int(wire.cluster.server.rpartition(":")[2])
            for _ in range(8):
                with socket.create_connection(("127.0.0.1", port)):
                    for _ in range(chance.randrange(5)):
                        await asyncio.sleep(0)
                    if chance.random() < 0.3:
                        await wire.cut()


@pytest.mark.parametrize("answered", [pytest.param(True, id="server there"), pytest.param(False, id="server away")])
def test_cut_at_any_moment_it_leaves_no_socket(answered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []
    # A socket says so when it is collected; a warning is an error here, and an error in __del__ ends up in this hook.
    monkeypatch.setattr(sys, "unraisablehook", lambda told: left.append(str(told.exc_value)))
    for seed in range(30):
        asyncio.run(cut_at_any_moment(random.Random(seed), answered=answered))
    gc.collect()

    assert left == []
