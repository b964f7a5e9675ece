"""Which plugins a profile has: enabled and disabled per extension point, as kube-scheduler reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowplan import errors
from stowplan.profiles import in_tree
from stowplan.profiles.selection import METHODS, Available, Enabled, PluginSet, Selection, points_of, select

RULE = frozenset({"preFilter", "filter"})
SCORE = frozenset({"score"})
AVAILABLE = (
    Available("Fit", RULE | SCORE, default=True),
    Available("Spread", frozenset({"filter"}) | SCORE, default=True, weight=2),
    Available("Volumes", RULE | {"reserve"}, default=True),
    Available("Images", SCORE, default=True),
    Available("Evict", frozenset({"postFilter"}), default=True),
    Available("Domain", SCORE),
    Available("Mine", RULE | SCORE),
    Available("Gate", frozenset({"preFilter"})),
    Available("OfPolicy", frozenset({"filter"}) | SCORE, policy=True, weight=5),
)
DEFAULTS = ("Fit", "Spread", "Volumes", "Images", "Evict")


def chosen(enabled: Sequence[str | tuple[str, int]] = (), disabled: Sequence[str] = ()) -> PluginSet:
    items = [Enabled(each) if isinstance(each, str) else Enabled(*each) for each in enabled]
    return PluginSet(tuple(items), frozenset(disabled))


def of(**sets: PluginSet) -> Selection:
    return select(sets, AVAILABLE)


def test_nothing_said_is_the_defaults_in_their_order() -> None:
    assert of() == Selection(
        order=DEFAULTS,
        ruling=frozenset({"Fit", "Spread", "Volumes"}),
        rescuing=frozenset({"Evict"}),
        weights={"Fit": 1, "Spread": 2, "Images": 1},
    )


@pytest.mark.parametrize(
    ("sets", "order"),
    [
        pytest.param({"multiPoint": chosen(["Mine"])}, (*DEFAULTS, "Mine"), id="added last"),
        pytest.param({"multiPoint": chosen(["Spread"])}, DEFAULTS, id="replaced in its place"),
        pytest.param({"multiPoint": chosen(disabled=["Fit"])}, DEFAULTS[1:], id="taken out"),
        pytest.param({"multiPoint": chosen(["Mine", "Fit"], ["*"])}, ("Mine", "Fit"), id="only these, in this order"),
        pytest.param(
            {"multiPoint": chosen(["Fit"], ["Fit"])}, ("Spread", "Volumes", "Images", "Evict", "Fit"), id="both"
        ),
        pytest.param({"filter": chosen(["Spread"])}, ("Spread", "Fit", "Volumes", "Images", "Evict"), id="goes first"),
        pytest.param({"score": chosen(["Domain"])}, (*DEFAULTS, "Domain"), id="at one point"),
        pytest.param({"preFilter": chosen(["Gate"])}, (*DEFAULTS, "Gate"), id="nothing but a pre-filter"),
        pytest.param({"multiPoint": chosen(["SchedulingGates", "DefaultBinder"])}, DEFAULTS, id="built in anyway"),
        pytest.param({"multiPoint": chosen(disabled=["GangScheduling"])}, DEFAULTS, id="kube-scheduler's alone"),
    ],
)
def test_who_runs_and_in_which_order(sets: Mapping[str, PluginSet], order: tuple[str, ...]) -> None:
    assert of(**sets).order == order


@pytest.mark.parametrize(
    ("sets", "weights"),
    [
        pytest.param({"score": chosen([("Spread", 7)])}, {"Fit": 1, "Spread": 7, "Images": 1}, id="other weight"),
        pytest.param({"score": chosen(["Spread"])}, {"Fit": 1, "Spread": 1, "Images": 1}, id="no weight is one"),
        pytest.param({"score": chosen([("Spread", 0)])}, {"Fit": 1, "Spread": 1, "Images": 1}, id="zero is one"),
        pytest.param({"score": chosen(disabled=["Images"])}, {"Fit": 1, "Spread": 2}, id="disabled"),
        pytest.param(
            {"score": chosen([("Mine", 3)], ["*"]), "multiPoint": chosen(["Mine"])}, {"Mine": 3}, id="only one"
        ),
        pytest.param({"score": chosen(disabled=["*"]), "preScore": chosen(disabled=["*"])}, {}, id="no scoring"),
        pytest.param(
            {"multiPoint": chosen([("Mine", 4)]), "score": chosen([("Mine", 9)])},
            {"Fit": 1, "Spread": 2, "Images": 1, "Mine": 9},
            id="score goes before multiPoint",
        ),
        pytest.param(
            {"score": chosen([("OfPolicy", 9)])},
            {"Fit": 1, "Spread": 2, "Images": 1, "OfPolicy": 9},
            id="weight of a policy's plugin",
        ),
    ],
)
def test_who_scores_and_with_which_weight(sets: Mapping[str, PluginSet], weights: Mapping[str, int]) -> None:
    assert of(**sets).weights == weights


def test_rules_can_be_off_where_the_score_is_on() -> None:
    found = of(filter=chosen(disabled=["Spread"]))
    assert "Spread" not in found.ruling
    assert found.weights["Spread"] == 2


def test_preemption_can_be_turned_off() -> None:
    assert of(postFilter=chosen(disabled=["Evict"])).rescuing == frozenset()
    assert of(postFilter=chosen(disabled=["*"])).rescuing == frozenset()


def test_a_profile_of_the_documentation_that_does_not_score() -> None:
    """kubernetes.io/docs/reference/scheduling/config, "Multiple profiles"."""
    sets = {"preScore": chosen(disabled=["*"]), "score": chosen(disabled=["*"])}
    found = select(sets, in_tree.IN_TREE)
    assert found.weights == {}
    assert found.ruling == in_tree.BY_DEFAULT.ruling


@pytest.mark.parametrize(
    ("sets", "complaint"),
    [
        pytest.param(
            {"filter": chosen(["Misspelt"])}, "plugins.filter.enabled: there is no plugin Misspelt", id="name"
        ),
        pytest.param(
            {"score": chosen(disabled=["No"])}, "plugins.score.disabled: there is no plugin No", id="disabled"
        ),
        pytest.param({"score": chosen(["Fit", "Fit"])}, "plugins.score.enabled: Fit is there twice", id="twice"),
        pytest.param({"filter": chosen(["Images"])}, "plugins.filter.enabled: Images does nothing there", id="no rule"),
        pytest.param(
            {"preScore": chosen(["Gate"])}, "plugins.preScore.enabled: Gate does nothing there", id="no score"
        ),
        pytest.param({"filter": chosen(["Mine"])}, "Mine is on at filter and off at preFilter", id="half of its rules"),
        pytest.param(
            {"preFilter": chosen(disabled=["Fit"])}, "Fit is on at filter and off at preFilter", id="half off"
        ),
        pytest.param(
            {"preFilter": chosen(disabled=["Spread"])}, "plugins.preFilter.disabled: Spread is on", id="elsewhere"
        ),
        pytest.param(
            {"filter": chosen(disabled=["*"])}, "Fit is on at preFilter and off at filter", id="all of one point"
        ),
        pytest.param(
            {"reserve": chosen(disabled=["Volumes"])}, "and off at reserve: its rules go together", id="reserve"
        ),
        pytest.param(
            {"preBind": chosen(disabled=["Volumes"])}, "plugins.preBind.disabled: Volumes is on", id="preBind"
        ),
        pytest.param({"preBind": chosen(disabled=["*"])}, "preBind is part of reserve here", id="all preBind"),
        pytest.param(
            {"preScore": chosen(disabled=["*"])}, "preScore is part of score here: disable '*'", id="all preScore"
        ),
        pytest.param(
            {"preScore": chosen(disabled=["Fit"])}, "plugins.preScore.disabled: Fit is on at score", id="preScore"
        ),
        pytest.param(
            {"preScore": chosen(["Mine"])}, "plugins.preScore.enabled: Mine is off at score", id="preScore on"
        ),
        pytest.param(
            {"queueSort": chosen(["Mine"])}, "plugins.queueSort: this extension point is PrioritySort", id="sort"
        ),
        pytest.param(
            {"bind": chosen(disabled=["*"])}, "plugins.bind: this extension point is DefaultBinder", id="bind"
        ),
        pytest.param({"permit": chosen(["Mine"])}, "plugins.permit: this extension point does not exist", id="permit"),
        pytest.param(
            {"multiPoint": chosen(disabled=["PrioritySort"])}, "PrioritySort cannot be disabled", id="built in"
        ),
        pytest.param(
            {"filter": chosen([("Fit", 2)])}, "Fit has a weight, which counts at score and multi", id="weight"
        ),
        pytest.param({"multiPoint": chosen([("Gate", 2)])}, "Gate has a weight, but no score", id="weight of nothing"),
        pytest.param(
            {"filter": chosen(disabled=["OfPolicy"])}, "OfPolicy is part of SchedulingPolicies", id="policy off"
        ),
        pytest.param({"multiPoint": chosen(["OfPolicy"])}, "OfPolicy is part of SchedulingPolicies", id="policy on"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_field(sets: Mapping[str, PluginSet], complaint: str) -> None:
    with pytest.raises(errors.UsageError, match=re.escape(complaint)) as caught:
        of(**sets)
    assert str(caught.value).startswith("plugins")
    assert "\n" not in str(caught.value)


def test_what_kube_scheduler_fixes_may_be_said() -> None:
    sets = {
        "queueSort": chosen(["PrioritySort"], ["*"]),
        "bind": chosen(["DefaultBinder"]),
        "preEnqueue": chosen(["SchedulingGates"]),
        "permit": chosen(disabled=["*"]),
    }
    assert of(**sets) == of()


NAMES = [each.name for each in AVAILABLE if not each.policy]
SETS = st.builds(
    lambda on, off: PluginSet(tuple(map(Enabled, on)), frozenset(off)),
    st.lists(st.sampled_from(NAMES), unique=True),
    st.sets(st.sampled_from([*NAMES, "*"])),
)


@given(st.dictionaries(st.sampled_from(["multiPoint", "score", "filter", "preFilter", "postFilter"]), SETS))
def test_a_selection_does_what_each_set_says_or_is_refused(sets: dict[str, PluginSet]) -> None:
    try:
        found = select(sets, AVAILABLE)
    except errors.UsageError:
        return
    on = {
        "score": found.weights.keys(),
        "filter": found.ruling,
        "preFilter": found.ruling,
        "postFilter": found.rescuing,
    }
    known = {each.name: each for each in AVAILABLE}
    for point, there in on.items():
        said = sets.get(point, PluginSet())
        named = {each.name for each in said.enabled}
        assert named <= set(there)
        assert not (said.disabled - named) & set(there) or point == "preFilter"
        assert all(known[name].points for name in there)
    assert set(found.order) == set(found.ruling) | set(found.rescuing) | found.weights.keys()


def test_the_plugins_of_kube_scheduler_have_its_order_and_weights() -> None:
    """pkg/scheduler/apis/config/v1/default_plugins.go of 1.36.3, what is built in left out."""
    theirs = {
        "NodeUnschedulable": 1, "NodeName": 1, "TaintToleration": 3, "NodeAffinity": 2, "NodePorts": 1,
        "NodeResourcesFit": 1, "VolumeRestrictions": 1, "NodeVolumeLimits": 1, "VolumeBinding": 1, "VolumeZone": 1,
        "PodTopologySpread": 2, "InterPodAffinity": 2, "NodeResourcesBalancedAllocation": 1, "ImageLocality": 1,
        "NodeDeclaredFeatures": 1,
    }  # fmt: skip
    ours = [each.name for each in in_tree.IN_TREE if each.name in theirs]
    assert ours == list(theirs)
    weights = in_tree.BY_DEFAULT.weights
    assert {name: weight for name, weight in weights.items() if weight != theirs[name]} == {}


def test_each_method_of_a_plugin_is_an_extension_point() -> None:
    class Everything:
        pre_filter = filter = post_filter = score = reserve = staticmethod(print)

    assert points_of(Everything) == METHODS.keys()
    assert points_of(object()) == frozenset()
