"""Asks a member to drain: one HTTP request to its pod, with none of our credentials.

Called by ``executor``. As a kubelet's lifecycle hooks do (pkg/kubelet/lifecycle/handlers.go, pkg/probe/http), it talks
to the pod's own address, takes any certificate, and carries nothing secret. Redirects are answers, not orders.
"""

from __future__ import annotations

from typing import Final

import aiohttp

SECONDS: Final = 10.0
LONGEST: Final = 200
ACCEPTED: Final = 202


async def ask(url: str) -> str:
    """Ask once.

    Returns:
        "" where the member has drained (any 2xx but 202), else what it says.
    """
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=False)) as session,
            session.post(url, allow_redirects=False) as answer,
        ):
            if 200 <= answer.status < 300 and answer.status != ACCEPTED:
                return ""
            said = " ".join((await answer.content.read(LONGEST)).decode(errors="replace").split())
            status = f"{answer.status} {answer.reason or ''}".strip()
            return f"{url} answers {status}" + (f": {said}" if said else "")
    except TimeoutError:
        return f"{url} gave no answer within {SECONDS:g} s"
    except aiohttp.ClientError as error:
        return f"{url}: {error}"
