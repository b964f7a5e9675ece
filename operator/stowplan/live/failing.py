"""What the log says about plugins that fail (``framework.conduct``): each thing once, not once for each pod."""

from __future__ import annotations

import structlog

from stowplan.framework.conduct import CutOff, Failed, News, Restored

_log = structlog.get_logger(__name__)


def log(item: News) -> None:
    """Logs one piece of news."""
    call = item.call
    known = {"plugin": call.plugin, "extension_point": call.point, "profile": call.profile}
    match item:
        case Failed(pod=pod, error=error):
            _log.error("plugin failed", **known, pod=pod, exc_info=error)
        case CutOff(error=error):
            _log.error("plugin cut off", **known, error=error)
        case Restored():
            _log.info("plugin works again", **known)
