"""Names that both kinds share (group, labels, annotations) and the pieces of meta/v1 that they use.

Whoever writes or reads an object of ours takes its label and annotation names from here.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from stowplan.api.base import LABEL_KEY_PATTERN, ApiModel, Int, LabelKey, LabelValue, cel

GROUP = "stowplan.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "stowplan.dev/v1alpha1"
CATEGORY = "stowplan"
SCHEDULER_NAME = "stowplan"
"""The ``schedulerName`` of the default profile, and of members whose template names none."""

LABEL_CLUSTER = f"{GROUP}/cluster"
LABEL_NODE_SET = f"{GROUP}/node-set"
LABEL_MEMBER = f"{GROUP}/member"
"""The member's ordinal, in decimal."""
LABEL_REVISION = f"{GROUP}/revision"
ROLE_LABEL_PREFIX = f"role.{GROUP}/"
"""Followed by a role of the node set, with the value ``"true"``."""

ANNOTATION_POLICY = f"{GROUP}/policy"
"""On a pod: the name of the policy that governs it, whatever the selectors say."""
ANNOTATION_WHY = f"{GROUP}/why"
"""On a bound pod: compact JSON that says why this node."""
ANNOTATION_FENCE = f"{GROUP}/fence"
"""On a Binding: ``<lease holder>/<leaseTransitions>``, what the API server compares with the lease."""
ANNOTATION_GROWING = f"{GROUP}/growing"
"""On a claim whose driver grows only volumes that nobody uses: ``<size> <time>``, to what size and since when its
member has no pod for it."""


def role_label(role: str) -> str:
    """The label key that marks a member as one of ``role``."""
    return ROLE_LABEL_PREFIX + role


class ObjectMeta(ApiModel):
    """The part of meta/v1 ObjectMeta that this project reads; the rest is passed over."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: Int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class LabelSelectorRequirement(ApiModel):
    """One comparison of a label with values."""

    key: LabelKey
    """The label compared."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label relates to the values."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()
    """The values compared with: at least one for In and NotIn, none for Exists and DoesNotExist."""

    @cel(
        "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
        " : !has(self.values) || size(self.values) == 0",
        "In and NotIn need at least one value, Exists and DoesNotExist take none",
        field=".values",
    )
    def _values_suit_the_operator(self) -> bool:
        return bool(self.values) == (self.operator in {"In", "NotIn"})


class LabelSelector(ApiModel):
    """A meta/v1 LabelSelector: all requirements hold together; an empty one selects everything."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=64)] = Field(default_factory=dict)
    """Labels that a pod must carry with exactly these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=32)] = ()
    """Further requirements on labels."""

    @cel(
        f"!has(self.matchLabels) || self.matchLabels.all(key, size(key) <= 317 && key.matches('{LABEL_KEY_PATTERN}'))",
        "the key of a label is a name of at most 63 characters, with an optional DNS name and a slash before it",
        field=".matchLabels",
    )
    def _keys_are_label_keys(self) -> bool:
        return all(len(key) <= 317 and re.fullmatch(LABEL_KEY_PATTERN, key) for key in self.match_labels)


class Condition(ApiModel):
    """One judgement of the object: a meta/v1 Condition."""

    model_config = ConfigDict(extra="ignore")

    type: str
    """What is judged, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Annotated[Int, Field(ge=0)] = 0
    """The metadata.generation that was judged: older than the object's means not judged yet."""
    last_transition_time: datetime | None = None
    """When the status last changed."""
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)]
    """One word in CamelCase, for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """What is the case and what to do about it, for people."""
