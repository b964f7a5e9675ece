"""The demo itself, on whichever cluster: start Stowplan, apply the examples, watch, report, check."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from rich.table import Table
from rich.text import Text
from tests.cli import command
from tests.controlplane.nodes import Manifest
from tests.demo import checks, picture, table
from tests.demo import state as states
from tests.demo.errors import DemoError
from tests.demo.screen import Screen
from tests.demo.stage import EXAMPLES, GROUP, KINDS, NAMESPACE, Reader, Stage
from tests.process import Replica

MARKS: Final = {True: ("ok", "green"), False: ("NO", "bold red"), None: ("--", "dim")}
"""How a check is shown: kept, broken, only wished for."""


@contextlib.contextmanager
def running(stage: Stage, directory: Path, screen: Screen) -> Iterator[Replica]:
    """Stowplan on this machine, ready; stopped at the end.

    There may be no container runtime here, so the chart's Deployment may run nothing: this process stands for its pods,
    with the same configuration file and the same rights.
    """
    screen.step(f"stowplan run, on this machine, with {stage.acting}")
    stowplan = Replica(
        "stowplan", directory=directory, log=directory / "stowplan.log", config=stage.config, kubeconfig=stage.rights,
        environment=stage.environment,
    )  # fmt: skip
    with stowplan:
        stowplan.wait_ready()
        yield stowplan


def check(stowplan: Replica) -> None:
    """Raise DemoError with the end of its log if it has ended."""
    if not stowplan.alive:
        raise DemoError(f"stowplan has ended\n{stowplan.tail()}")


def play(stage: Stage, stowplan: Replica, screen: Screen, *, timeout: float) -> bool:
    """Apply the examples, wait until all is ready, report, and say whether everything is where it belongs.

    Raises:
        DemoError: it was not ready after `timeout` seconds; with what is pending and why.
        ControlPlaneError: the cluster refused something.
    """
    policy, cluster = _apply(stage, screen)
    started = time.monotonic()
    watch = _Watch(stage, stowplan, screen, policy=policy["metadata"]["name"], cluster=cluster["metadata"]["name"])
    state, hosts, volumes = asyncio.run(watch.run(timeout))
    by_name = {host.name: host for host in hosts}
    screen.step(f"both are Ready {time.monotonic() - started:.1f} s after they were applied")
    screen.show(Text())
    screen.show(table.render(state, by_name))

    screen.title("$ kubectl get schpol,stc")
    screen.show(stage.kubectl("get", "schpol,stc", "-n", NAMESPACE).rstrip())
    screen.title("conditions", record=False)
    screen.show(_conditions(state), record=False)
    pod = next(member.name for member in state.members if member.volumes)
    screen.title(f"$ stowplan explain {pod} -n {NAMESPACE}", record=False)
    screen.show(_explanation(stage, pod), record=False)
    screen.title("the members in their failure domains")
    _draw(state, hosts, screen)
    screen.title("checked against the policy, from nodes, pods and volumes")
    found = checks.check(state, hosts, volumes)
    screen.show(_checks(found))
    return all(each.good is not False for each in found)


def _explanation(stage: Stage, pod: str) -> str:
    arguments = ("explain", pod, "-n", NAMESPACE)
    done = command.run(*arguments, environment={**stage.environment, "KUBECONFIG": str(stage.kubeconfig)})
    if done.status != 0:
        said = (done.err or done.out).strip()
        raise DemoError(f"stowplan {' '.join(arguments)} ended with status {done.status}: {said}")
    return done.out.rstrip()


def _apply(stage: Stage, screen: Screen) -> tuple[Manifest, Manifest]:
    policy, cluster = (yaml.safe_load(path.read_text()) for path in EXAMPLES)
    fitted = stage.fit(policy, cluster)
    for change in fitted.changes:
        screen.step(f"changed to fit this cluster: {change}")
    screen.step(f"kubectl apply -n {NAMESPACE} -f examples/")
    documents = yaml.safe_dump_all([fitted.policy, fitted.cluster])
    stage.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=documents)
    return fitted.policy, fitted.cluster


class _Watch:
    """Looks at the cluster again and again until all is ready, and shows it."""

    def __init__(self, stage: Stage, stowplan: Replica, screen: Screen, *, policy: str, cluster: str) -> None:
        self._stage = stage
        self._stowplan = stowplan
        self._screen = screen
        base = f"{GROUP}/namespaces/{NAMESPACE}"
        self._paths = (
            f"{base}/{KINDS['SchedulingPolicy']}/{policy}",
            f"{base}/{KINDS['StatefulCluster']}/{cluster}",
            f"/api/v1/namespaces/{NAMESPACE}/pods",
            f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims",
        )

    async def run(self, timeout: float) -> tuple[states.State, tuple[states.Host, ...], list[Manifest]]:  # noqa: ASYNC109
        """The state in which all is ready, the nodes, and the PersistentVolumes."""
        async with self._stage.reader() as reader:
            hosts = states.hosts((await reader.get("/api/v1/nodes"))["items"])
            state = await self._settled(reader, {host.name: host for host in hosts}, timeout)
            volumes: list[Manifest] = (await reader.get("/api/v1/persistentvolumes"))["items"]
        return state, hosts, volumes

    async def _settled(
        self, reader: Reader, hosts: dict[str, states.Host], timeout: float  # noqa: ASYNC109
    ) -> states.State:  # fmt: skip
        deadline = time.monotonic() + timeout
        with self._screen.live() as show:
            while True:
                state = await self._look(reader)
                show(table.render(state, hosts), table.summary(state))
                if state.settled:
                    return state
                check(self._stowplan)
                self._stage.check()
                if time.monotonic() > deadline:
                    break
                await asyncio.sleep(self._stage.pause)
        lines = "\n".join(f"  {line}" for line in table.pending(state))
        raise DemoError(f"not ready after {timeout:g} s ({table.summary(state)}):\n{lines}")

    async def _look(self, reader: Reader) -> states.State:
        policy, cluster, pods, claims = await asyncio.gather(*(reader.get(path) for path in self._paths))
        return states.state(policy=policy, cluster=cluster, pods=pods["items"], claims=claims["items"])


def _conditions(state: states.State) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for head in ("KIND", "CONDITION", "STATUS", "REASON"):
        shown.add_column(head, no_wrap=True)
    shown.add_column("MESSAGE")
    for resource in (state.policy, state.cluster):
        for each in states.conditions(resource):
            shown.add_row(resource["kind"], each["type"], each["status"], each["reason"], each.get("message", ""))
    return shown


def _draw(state: states.State, hosts: tuple[states.Host, ...], screen: Screen) -> None:
    levels = table.domains(state.policy["spec"])
    colours = table.colours(state)
    for line in picture.draw(hosts, state.members, levels, colours=colours, width=screen.width):
        screen.show(line)


def _checks(found: list[checks.Check]) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column()
    for each in found:
        mark, style = MARKS[each.good]
        remark = "" if each.good is not None else " (a preference)"
        shown.add_row(Text(mark, style), each.name, each.found + remark)
    return shown
