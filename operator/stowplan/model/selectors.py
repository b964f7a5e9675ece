"""Label selectors and node selectors, compiled to values that can be compared, hashed and evaluated fast.

Source of the rules: apimachinery v0.36.3 ``pkg/labels/selector.go`` (labels) and component-helpers v0.36.3
``scheduling/corev1/nodeaffinity/nodeaffinity.go`` (nodes).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from stowplan import errors
from stowplan.model import objects

_INTEGER = re.compile(r"[+-]?[0-9]{1,63}")


def _integer(text: str) -> int | None:
    """What Go's ``strconv.ParseInt`` makes of it: no spaces, no underscores, 64 bits."""
    number = int(text) if _INTEGER.fullmatch(text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


@dataclasses.dataclass(frozen=True, slots=True)
class Requirement:
    """One ``key operator values`` of a selector. ``operator``: In, NotIn, Exists, DoesNotExist, Gt or Lt.

    Gt and Lt with a value that is no integer allow nothing: the API server takes them, kube-scheduler lets the term
    that they are in match no node.
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def allows(self, have: str | None) -> bool:
        """Whether a label value satisfies it; ``None`` is an absent label."""
        match self.operator:
            case "In":
                return have in self.values
            case "NotIn":
                return have not in self.values
            case "Exists":
                return have is not None
            case "DoesNotExist":
                return have is None
            case _:  # Gt, Lt
                left = None if have is None else _integer(have)
                right = _integer(next(iter(self.values), ""))
                if left is None or right is None:
                    return False
                return left > right if self.operator == "Gt" else left < right


_OPERATORS = {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}


def _requirement(raw: objects.LabelSelectorRequirement) -> Requirement:
    problem = ""
    match raw.operator:
        case "In" | "NotIn":
            problem = "" if raw.values else "needs at least one value"
        case "Exists" | "DoesNotExist":
            problem = "takes no values" if raw.values else ""
        case "Gt" | "Lt":
            problem = "" if len(raw.values) == 1 else "needs one value"
        case _:
            problem = f"is none of {sorted(_OPERATORS)}"
    if problem:
        raise errors.InvalidObject("selector", raw.key, f"operator {raw.operator!r} {problem}")
    return Requirement(raw.key, raw.operator, frozenset(raw.values))


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    """A compiled label selector: all requirements must hold. ``None`` requirements select nothing."""

    requirements: frozenset[Requirement] | None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy every requirement."""
        if self.requirements is None:
            return False
        return all(each.allows(labels.get(each.key)) for each in self.requirements)

    def also(self, *more: Requirement) -> Selector:
        """This selector with further requirements; nothing stays nothing."""
        return self if self.requirements is None else Selector(self.requirements | frozenset(more))


NOTHING = Selector(None)
EVERYTHING = Selector(frozenset())


def equals(key: str, value: str) -> Requirement:
    """The requirement of one ``matchLabels`` entry."""
    return Requirement(key, "In", frozenset((value,)))


def compile_selector(raw: objects.LabelSelector | None) -> Selector:
    """A ``metav1.LabelSelector``; absent selects nothing, empty selects everything. Raises InvalidObject."""
    if raw is None:
        return NOTHING
    return Selector(
        frozenset(
            [equals(key, value) for key, value in raw.match_labels.items()]
            + [_requirement(each) for each in raw.match_expressions]
        )
    )


@dataclasses.dataclass(frozen=True, slots=True)
class NodeTerm:
    """One term of a node selector: labels and ``metadata.name`` must all match. An empty term matches no node."""

    labels: frozenset[Requirement] = frozenset()
    names: frozenset[Requirement] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether the term has no requirement at all."""
        return not self.labels and not self.names

    def matches(self, label: Callable[[str], str | None], name: str) -> bool:
        """Whether a node with these labels and this name satisfies the term."""
        if self.empty:
            return False
        return all(each.allows(label(each.key)) for each in self.labels) and all(
            each.allows(name) for each in self.names
        )


@dataclasses.dataclass(frozen=True, slots=True)
class NodeSelector:
    """A compiled ``core/v1 NodeSelector``: any of the terms must match; no terms match no node."""

    terms: tuple[NodeTerm, ...]

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        """Whether a node satisfies any of the terms."""
        return any(term.matches(labels.get, name) for term in self.terms)


def _field(raw: objects.LabelSelectorRequirement) -> Requirement:
    if raw.key != "metadata.name" or raw.operator not in ("In", "NotIn") or len(raw.values) != 1:
        raise errors.InvalidObject("selector", f"matchFields {raw.key}", "must be metadata.name In or NotIn one value")
    return _requirement(raw)


def compile_node_term(raw: objects.NodeSelectorTerm) -> NodeTerm:
    """A ``NodeSelectorTerm``. Raises InvalidObject."""
    return NodeTerm(
        frozenset(map(_requirement, raw.match_expressions)),
        frozenset(map(_field, raw.match_fields)),
    )


def compile_node_selector(raw: objects.NodeSelector) -> NodeSelector:
    """A ``NodeSelector``. Raises InvalidObject."""
    return NodeSelector(tuple(map(compile_node_term, raw.node_selector_terms)))


_ONE = re.compile(
    r"\s*(?:"
    r"(?P<absent>!)\s*(?P<no>[^\s!=,()]+)"
    r"|(?P<key>[^\s!=,()]+)\s*(?:(?P<op>==?|!=)\s*(?P<value>[^\s!=,()]*)|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?"
    r")\s*(?:,|$)"
)


def parse(text: str) -> Selector:
    """A selector as kubectl's ``-l`` takes it: ``a=b,c!=d,e in (f,g),h notin (i),j,!k``.

    Source: apimachinery v0.36.3 ``pkg/labels/selector.go`` (``Parse``).

    Raises:
        UsageError: it cannot be read.
    """
    found = []
    at = 0
    while at < len(text):
        match = _ONE.match(text, at)
        if match is None:
            raise errors.UsageError(f"label selector {text!r}: cannot be read from {text[at:]!r} on")
        at = match.end()
        values = frozenset(each.strip() for each in (match["values"] or match["value"] or "").split(","))
        if match["absent"]:
            found.append(Requirement(match["no"], "DoesNotExist"))
        elif match["set"]:
            found.append(Requirement(match["key"], "In" if match["set"] == "in" else "NotIn", values))
        elif match["op"]:
            found.append(Requirement(match["key"], "NotIn" if match["op"] == "!=" else "In", values))
        else:
            found.append(Requirement(match["key"], "Exists"))
    return Selector(frozenset(found))
