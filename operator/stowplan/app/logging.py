"""How the process logs: one line per record, JSON or ``key=value``, on one stream.

The wiring calls :func:`configure` once, before anything else. Everybody else asks structlog for a logger and says what
happened in a few words, with the facts as keywords::

    log = structlog.get_logger(__name__)
    log.info("bound", pod="prod/orders-data-0", node="n17", score=812, feasible=55)

- ``info``: one line for each scheduling decision, and what an operator of the cluster wants to know
- ``debug``: what each plugin said, requests and retries
- ``warning``: it goes on, but somebody should look if this stays; ``error``: a defect, or an object that was ignored

A line begins with ``ts`` (UTC), ``level``, ``logger`` and ``msg``; whatever logs through the standard library (kopf,
aiohttp, asyncio, warnings) comes out the same way. A record below the level costs about half a microsecond.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from stowplan.model import times

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "text"]

_HEAD: Final = ("ts", "level", "logger", "msg")
# They report each step of their own at info; of use to somebody who debugs Stowplan only.
_CHATTY: Final = ("kopf", "aiohttp", "asyncio")
_KOPF_REQUESTS: Final = "kopf._cogs.clients."


class _Line:
    """A logger that writes a finished line; its methods are the levels that structlog calls."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def write(self, line: str) -> None:
        """Write in one call, so that lines of two threads do not mix."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    debug = info = warning = error = critical = write


def configure(*, level: Level = "info", form: Format = "json", stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging for this process; again replaces what was.

    Args:
        level: The lowest level that is written.
        form: ``json`` for machines, ``text`` (logfmt) for people.
        stream: Where to; standard error by default.
    """
    target = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    last: list[Processor] = [structlog.processors.format_exc_info, _begin_with_head, _renderer(form)]
    structlog.configure(
        processors=last,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *names: _Line(names[0] if names else "", target),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[_object_of_kopf, *last]))
    handler.addFilter(_level_of_kopf(threshold))
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(threshold if level == "debug" else max(threshold, logging.WARNING))
    logging.captureWarnings(True)


def _level_of_kopf(threshold: int) -> Callable[[logging.LogRecord], bool]:
    """A filter: requests of kopf's that fail are warnings.

    Kopf says ``error`` of each one that it repeats, whenever the API server starts anew; what it gives up, it raises.
    """

    def judge(record: logging.LogRecord) -> bool:
        if record.name.startswith(_KOPF_REQUESTS) and record.levelno == logging.ERROR:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return record.levelno >= threshold

    return judge


def _renderer(form: Format) -> Processor:
    if form == "text":
        return structlog.processors.LogfmtRenderer(key_order=_HEAD)
    return structlog.processors.JSONRenderer(serializer=_encode)


def _encode(event: EventDict, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _begin_with_head(logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
    """The same first four keys for records of structlog and of the standard library."""
    record: logging.LogRecord | None = event.pop("_record", None)
    event.pop("_from_structlog", None)
    head: EventDict = {
        "ts": times.rfc3339(time.time(), times.MILLISECONDS),
        "level": level,
        "logger": logger.name if record is None else record.name,
        "msg": event.pop("event"),
    }
    head.update(event)
    return head


def _object_of_kopf(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Kopf hangs a reference to the object that a record is about onto the record."""
    reference = getattr(event["_record"], "k8s_ref", None)
    if reference:
        event["kind"] = reference.get("kind")
        event["object"] = "/".join(part for part in (reference.get("namespace"), reference.get("name")) if part)
    return event
