"""The ``stowplan.dev/why`` annotation: a decision in one compact line of JSON."""

from __future__ import annotations

import msgspec

from stowplan.framework.choice import Decision


class RunnerUp(msgspec.Struct):
    """The best node that was not chosen."""

    node: str
    score: int


class Why(msgspec.Struct, rename="camel", omit_defaults=True):
    """What is written: the chosen score, the runner-up, how many nodes were feasible, and which plugins decided.

    ``relaxed`` names the rules of the policy that made allowance for a domain that was out: the pod may go elsewhere
    when it is back.
    """

    score: int
    feasible: int
    nodes: int
    runner_up: RunnerUp | None = None
    plugins: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()


_ENCODER = msgspec.json.Encoder()


def annotation(decision: Decision, relaxed: tuple[str, ...] = ()) -> str:
    """The value of the annotation for a decision, and for the rules that made allowance for an outage."""
    name, score = decision.runner_up
    return _ENCODER.encode(
        Why(
            score=decision.score,
            feasible=decision.feasible,
            nodes=decision.total,
            runner_up=RunnerUp(name, score) if name else None,
            plugins=decision.decisive,
            relaxed=relaxed,
        )
    ).decode()
