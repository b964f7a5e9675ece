"""What a watch of all bound pods has shown so far, by namespace. Fed by `measure`, asked by `execute`."""

from __future__ import annotations

import collections
import re

_EVENT = re.compile(
    rb'"type":"(ADDED|MODIFIED|DELETED)".{0,120}?"metadata":\{"name":"([^"]+)",(?:"generateName":"[^"]*",)?"namespace":"([^"]+)"'
)


class Bound:
    """Which pods were bound, and when that was seen.

    Attributes:
        times: by namespace, when each of its pods was seen bound for the first time, by the clock of the caller.
        gone: bound pods that were deleted.
    """

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = collections.defaultdict(list)
        self.gone = 0
        self._seen: set[tuple[bytes, bytes]] = set()
        self._rest = b""

    def cut(self) -> None:
        """The watch has ended, perhaps within a line, and another one begins."""
        self._rest = b""

    def feed(self, chunk: bytes, now: float) -> None:
        """Takes the next bytes of the watch, cut anywhere."""
        lines, found, rest = (self._rest + chunk).rpartition(b"\n")
        self._rest = rest
        if not found:
            return
        for kind, name, namespace in _EVENT.findall(lines):
            self.gone += kind == b"DELETED"
            if (namespace, name) not in self._seen:
                self._seen.add((namespace, name))
                self.times[namespace.decode()].append(now)
