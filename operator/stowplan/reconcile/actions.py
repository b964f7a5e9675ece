"""The writes that ``decide`` asks for: each is one request to the API server, and each may be the last one done.

``handlers.executor`` carries them out in their order. Deletions and changes name the uid of what they mean, so that an
object which has taken its name since is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stowplan.reconcile.specs import Manifest

Kind = Literal["Pod", "PersistentVolumeClaim", "Service", "PodDisruptionBudget", "ControllerRevision"]


@dataclass(frozen=True, kw_only=True)
class Create:
    """Make an object that does not exist. ``serves``: its template has served before, and is not judged anew."""

    kind: Kind
    name: str
    manifest: Manifest
    serves: bool = False


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Change a part of an object, by a strategic merge patch."""

    kind: Kind
    name: str
    uid: str
    body: Manifest
    why: str


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Delete an object. ``force`` skips the grace period: only where nothing runs any more."""

    kind: Kind
    name: str
    uid: str
    why: str
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Evict:
    """Delete a running pod as a drain does, so that the API server spends both from the same disruption budget."""

    name: str
    uid: str
    why: str
    kind: Literal["Pod"] = "Pod"


@dataclass(frozen=True, kw_only=True)
class CheckTemplate:
    """Have the API server judge a pod of a new revision (dry run), before any member is given up for it."""

    name: str
    revision: str
    manifest: Manifest
    kind: Literal["Pod"] = "Pod"


@dataclass(frozen=True, kw_only=True)
class AskToDrain:
    """Ask a member over HTTP whether it may go, and note the answer on its pod where that is yes.

    Attributes:
        name: of the pod.
        uid: of the pod.
        url: what to POST to.
        done: annotations of the pod once the answer is yes.
        again_after: seconds after which it is asked again.
    """

    name: str
    uid: str
    url: str
    done: Mapping[str, str]
    again_after: float
    kind: Literal["Pod"] = "Pod"


Action = Create | Patch | Delete | Evict | CheckTemplate | AskToDrain
