"""A process that takes part in an election until it is killed: ``python -m tests.kube.candidate KUBECONFIG NS NAME``.

Prints its fence when it leads and ``lost`` when it gives up.
"""

from __future__ import annotations

import asyncio
import sys

import structlog

from stowplan.errors import LeadershipLost
from stowplan.kube import config, session
from stowplan.kube.election import Terms
from stowplan.kube.lease import Elector

TERMS = Terms(lease_duration=4, renew_deadline=2.0, retry_period=0.3)


async def main(kubeconfig: str, namespace: str, identity: str) -> None:
    async with session.Api(await config.load(kubeconfig=kubeconfig)) as api:
        elector = Elector(api, namespace=namespace, name="stowplan", identity=identity, terms=TERMS)

        async def lead() -> None:
            print(elector.fence, flush=True)
            await asyncio.Event().wait()

        try:
            await elector.run(lead)
        except LeadershipLost:
            print("lost", flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:]))
