"""Whatever happens, and wherever the operator is killed, the members end as the spec says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from tests.reconcile.world import BAD_IMAGE, POLICY, World, node_set

OPERATIONS = (
    "reconcile", "crash", "live", "step", "unready", "fail", "drain", "node down", "node gone", "nodes back",
    "delete pod", "time", "scale", "image", "bad image", "retention", "victim", "pause", "resume", "policy gone",
    "policy back", "drop set", "grow volume", "strand", "lose claim", "claim templates", "partition", "on delete",
    "order", "recreate", "orphan", "drain hook", "drained",
)  # fmt: skip

FAILURES: tuple[dict[str, JsonValue], ...] = ({}, {"replaceAfter": "1m"}, {"volumes": "ReplaceIfNodeGone"})


@dataclass(frozen=True)
class Step:
    what: str
    which: int


steps = st.lists(st.builds(Step, st.sampled_from(OPERATIONS), st.integers(0, 11)), max_size=30)


@st.composite
def worlds(draw: st.DrawFn, *, settled: bool = True) -> World:
    sets = [
        node_set("data", draw(st.integers(0, 4)), claims=draw(st.integers(0, 2)), quorum=draw(st.booleans())),
        node_set("master", draw(st.sampled_from([1, 3, 5])), claims=draw(st.integers(0, 1)), quorum=True),
    ]
    world = World(
        *sets[: draw(st.integers(1, 2))],
        schedulingPolicyRef={"name": "p"},
        scaleDown={"victim": draw(st.sampled_from(["DomainBalanced", "HighestOrdinal"]))},
        updateStrategy={"maxUnavailable": draw(st.sampled_from([1, 2, "50%"]))},
        disruptionBudget={"maxUnavailable": draw(st.sampled_from([1, 2, "100%"]))},
        nodeFailure=draw(st.sampled_from(FAILURES)),
    )
    if settled and draw(st.booleans()):
        world.run()
    return world


def sets_of(world: World) -> list[dict[str, JsonValue]]:
    found = world.spec["nodeSets"]
    assert isinstance(found, list)
    return [each for each in found if isinstance(each, dict)]


def change_sets(world: World, **fields: JsonValue) -> None:
    world.set(nodeSets=[{**each, **fields} for each in sets_of(world)])


def images(world: World, image: str) -> None:
    change_sets(world, template={"spec": {"containers": [{"name": "main", "image": image}]}})


def perform(world: World, step: Step) -> None:  # noqa: C901, PLR0912
    names = sorted(world.pods)
    pod = names[step.which % len(names)] if names else None
    hosts = sorted(world.nodes)
    host = hosts[step.which % len(hosts)] if hosts else ""
    match step.what:
        case "reconcile":
            world.reconcile()
        case "crash":
            world.reconcile(crash_after=step.which)
        case "live":
            world.live()
        case "step" if pod:
            world.step(pod)
        case "unready" if pod and world.pods[pod].spec.node_name:
            world.set_ready(pod, now=False)
        case "fail" if pod:
            world.fail(pod)
        case "drain" if pod:
            world.drain(pod)
        case "delete pod" if pod:
            world.pods.pop(pod)
        case "strand" if pod:
            world.strand(pod)
        case "lose claim" if pod and not world.pods[pod].spec.node_name:
            for claim in world.uses[pod]:
                world.claims.pop(claim, None)
        case "node down":
            world.node_down(host)
        case "node gone":
            world.node_gone(host)
        case "nodes back":
            world.heal_nodes()
        case "time":
            world.now = world.now.replace(hour=(world.now.hour + 1) % 24)
        case "scale":
            change_sets(world, replicas=step.which % 6)
        case "image":
            images(world, f"v{step.which % 3}")
        case "bad image":
            images(world, BAD_IMAGE)
        case "retention":
            choices = ("Retain", "Delete")
            policy: dict[str, JsonValue] = {
                "whenScaled": choices[step.which % 2],
                "whenDeleted": choices[step.which // 2 % 2],
            }
            world.set(persistentVolumeClaimRetentionPolicy=policy)
        case "victim":
            world.set(scaleDown={"victim": ["DomainBalanced", "HighestOrdinal"][step.which % 2]})
        case "pause":
            world.set(paused=True)
        case "resume":
            world.set(paused=False)
        case "policy gone":
            world.policy = None
        case "policy back":
            world.policy = POLICY
        case "claim templates":
            change_sets(world, volumeClaimTemplates=node_set(claims=step.which % 3)["volumeClaimTemplates"])
        case "partition":
            world.set(updateStrategy={"partition": step.which % 4})
        case "on delete":
            world.set(updateStrategy={"type": "OnDelete"})
        case "order":
            order: list[JsonValue] = ["master", "data"]
            world.set(updateStrategy={"order": order[step.which % 2 :], "maxUnavailable": 2})
        case "recreate":
            world.recreate()
        case "orphan":
            world.recreate(orphan=True)
        case "drain hook":
            drain: JsonValue = {"httpPost": {"port": 80}, "onTimeout": ["Hold", "Continue"][step.which % 2]}
            change_sets(world, drain=drain if step.which % 3 else None)
        case "drained" if pod:
            world.drained.add(pod)
        case "drop set":
            world.set(nodeSets=list(sets_of(world)[:1]))
        case "grow volume":
            grow(world, step.which + 1)
        case _:
            pass


def grow(world: World, size: int) -> None:
    def grown(template: JsonValue) -> JsonValue:
        assert isinstance(template, dict)
        return {**template, "spec": {"resources": {"requests": {"storage": f"{size}Gi"}}}}

    templates = [each["volumeClaimTemplates"] for each in sets_of(world)]
    world.set(nodeSets=[
        {**each, "volumeClaimTemplates": [grown(t) for t in found] if isinstance(found, list) else []}
        for each, found in zip(sets_of(world), templates, strict=True)
    ])  # fmt: skip


def outcome(world: World) -> dict[str, object]:
    """What users see of a cluster at rest, but for which ordinals its members have, and where they are."""
    claims: Counter[tuple[str, str, str]] = Counter()
    for group in world.groups().values():
        templates = group.spec.volume_claim_templates if group.spec is not None else ()
        for member in group.members:
            for claim in member.claims:
                template = claim.metadata.name.removesuffix(f"-{member.name}")
                if template in {each.metadata.name for each in templates}:
                    claims[group.name, template, str(claim.spec.resources.requests["storage"])] += 1
    return {
        "members": Counter(
            (pod.metadata.labels["stowplan.dev/node-set"], pod.metadata.labels["stowplan.dev/revision"],
             *sorted(pod.metadata.annotations.items()))
            for pod in world.pods.values()
        ),
        "claims": claims,
        "budgets": {name: budget.spec.min_available for name, budget in world.budgets.items()},
        "templates": {name: revision.data for name, revision in world.revisions.items()},
        "service": world.service is not None,
        "conditions": sorted((each.type, each.status, each.reason) for each in world.status.conditions),
        "columns": (world.status.summary.ready, world.status.summary.updated, world.status.pending_changes),
    }  # fmt: skip


def fresh(world: World) -> World:
    """The last spec, applied where there was nothing before."""
    made = World(*sets_of(world), **{key: value for key, value in world.spec.items() if key != "nodeSets"})
    made.run()
    return made


@settings(max_examples=100, deadline=None)
@given(world=worlds(), steps=steps)
def test_any_history_ends_as_a_fresh_apply_of_the_last_spec_and_then_nothing_is_written(
    world: World, steps: list[Step]
) -> None:
    for step in steps:
        perform(world, step)

    # Everything that is outside of the operator's power is put right, and so is the spec.
    world.heal_nodes()
    world.stranded.clear()
    world.policy = POLICY
    world.now = world.now.replace(day=20)
    images(world, "v9")
    world.set(paused=False, updateStrategy={"maxUnavailable": 2})
    world.drains = True
    world.run()
    for waits in world.plan().pending:  # a quorum of one or two has none to spare: its pods are deleted by hand
        assert waits.held_by.endswith("delete the pod yourself to update it")
        del world.pods[waits.target]
        world.run()

    assert outcome(world) == outcome(fresh(world))
    assert world.plan().actions == ()
    ready = next(each for each in world.status.conditions if each.type == "Ready")
    assert (ready.status, ready.observed_generation) == ("True", world.generation)
    writes = world.writes
    world.reconcile()
    assert world.writes == writes


@settings(max_examples=60, deadline=None)
@given(world=worlds(settled=False), point=st.integers(0, 40))
def test_killed_after_any_write_and_started_again_it_makes_the_same_objects(world: World, point: int) -> None:
    world.reconcile(crash_after=point)
    world.run()
    other = fresh(world)
    assert (sorted(world.pods), sorted(world.claims)) == (sorted(other.pods), sorted(other.claims))
    assert outcome(world) == outcome(other)
