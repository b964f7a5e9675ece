"""Whether this process is well and ready, and the small HTTP server that says so.

The wiring makes one :class:`Health`, lets each part add its check, and runs :func:`serve` from start to end, before
anything else: a replica that waits for the lease answers too. Paths:

- ``/healthz``: 503 when something hangs and a restart may help: nothing was heard from the API server for minutes, or
  the event loop does not turn. kubelet's liveness probe asks it.
- ``/readyz``: 503 until this replica does its part: the leader places pods, a standby could take over.
- ``/metrics``: Prometheus's text format.

A check is a callable that returns None, or the reason why not. Answers are text like the API server's own
(``[+]watches ok``), or JSON where the request accepts ``application/json``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import prometheus_client
from aiohttp import web

from stowplan import errors
from stowplan.app import fields, metrics

Check = Callable[[], str | None]
Fact = Callable[[], object]

WATCH_AGE_LIMIT: Final = 300.0
"""Seconds of silence after which a watch counts as hung: twice what the reflector waits before it asks again."""
LOOP_LAG_LIMIT: Final = 10.0
"""Seconds in one step of the event loop that count as a defect; longer than the lease's renewDeadline allows."""
LAG_INTERVAL: Final = 0.5
"""Seconds between two looks at the event loop."""


@dataclass(frozen=True)
class Report:
    """What the checks found.

    Attributes:
        checks: reason, or None for well, by the name of the check.
        facts: what else is known, as JSON values, by name.
    """

    checks: Mapping[str, str | None]
    facts: Mapping[str, object]

    @property
    def ok(self) -> bool:
        """Whether no check gave a reason."""
        return not any(self.checks.values())

    def text(self) -> str:
        """One line for each check, the verdict at the end."""
        lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in self.checks.items()]
        return "\n".join([*lines, "ok" if self.ok else "failed", ""])

    def json(self) -> str:
        """``{"ok": …, "checks": {name: null or reason}, …facts}``."""
        return json.dumps({"ok": self.ok, "checks": dict(self.checks), **self.facts})


class Health:
    """The checks of this process. Not for other threads."""

    def __init__(self) -> None:
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}
        self._facts: dict[str, Fact] = {}

    def require_to_live(self, name: str, check: Check) -> None:
        """Let ``/healthz`` fail while the check gives a reason; the same name replaces."""
        self._alive[name] = check

    def require_to_be_ready(self, name: str, check: Check) -> None:
        """Let ``/readyz`` fail while the check gives a reason; the same name replaces."""
        self._ready[name] = check

    def tell(self, name: str, fact: Fact) -> None:
        """Show a JSON value of this name beside the checks of ``/healthz``."""
        self._facts[name] = fact

    def alive(self) -> Report:
        """Run the checks of ``/healthz``."""
        facts = {name: fact() for name, fact in self._facts.items()}
        return Report({name: check() for name, check in self._alive.items()}, facts)

    def ready(self) -> Report:
        """Run the checks of ``/readyz``."""
        return Report({name: check() for name, check in self._ready.items()}, {})


def watches_are_fresh(ages: Callable[[], Mapping[str, float]], *, limit: float = WATCH_AGE_LIMIT) -> Check:
    """A check of the seconds since each watch last heard from the API server, be it only a bookmark."""

    def check() -> str | None:
        stale = sorted((age, resource) for resource, age in ages().items() if age > limit)
        if not stale:
            return None
        return ", ".join(f"nothing heard of {resource} for {age:.0f} s" for age, resource in reversed(stale))

    return check


class LoopLag:
    """Measures how late the timers of the running event loop come."""

    def __init__(self, *, observe: Callable[[float], None], interval: float = LAG_INTERVAL) -> None:
        self._observe = observe
        self._interval = interval
        self.last = 0.0
        """Seconds that the last timer came late."""

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._interval
            await asyncio.sleep(self._interval)
            self.last = max(0.0, clock() - due)
            self._observe(self.last)

    def check(self) -> str | None:
        """A check: one timer came later than :data:`LOOP_LAG_LIMIT`, and no other has come since."""
        return f"the event loop hung for {self.last:.1f} s" if self.last > LOOP_LAG_LIMIT else None


@contextlib.asynccontextmanager
async def serve(address: fields.Address, *, health: Health, measured: metrics.Metrics) -> AsyncIterator[fields.Address]:
    """Serve the three paths; yields the address that is really listened at (port 0 has become one).

    Raises:
        UsageError: The address cannot be listened at.
    """

    async def healthz(request: web.Request) -> web.Response:
        return _answer(request, health.alive())

    async def readyz(request: web.Request) -> web.Response:
        return _answer(request, health.ready())

    async def scraped(_: web.Request) -> web.Response:
        measured.sample()  # here, in the loop that owns the queue and the cache
        body = await asyncio.to_thread(measured.render)
        return web.Response(body=body, headers={"Content-Type": prometheus_client.CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scraped)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host or None, address.port).start()
        except OSError as error:
            number = error.errno or 0
            what = os.strerror(number) if number > 0 else error.strerror or str(error)
            raise errors.UsageError(f"cannot listen at {address}: {what}; give another --metrics-address") from error
        host, port = runner.addresses[0][:2]
        yield fields.Address(address.host and host, port)
    finally:
        await runner.cleanup()


def _answer(request: web.Request, report: Report) -> web.Response:
    status = 200 if report.ok else 503
    if "application/json" in request.headers.get("Accept", ""):
        return web.Response(status=status, text=report.json(), content_type="application/json")
    return web.Response(status=status, text=report.text())
