"""Lists and watches are decoded whole, and one bad object hides no other."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowplan.kube import wire
from stowplan.model.objects import Node, Pod


def node(name: str, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name, "resourceVersion": "7"}, "spec": spec}


def listed(*items: dict[str, object], **meta: str) -> bytes:
    return json.dumps({"kind": "NodeList", "metadata": {"resourceVersion": "9", **meta}, "items": list(items)}).encode()


def test_page_gives_objects_version_and_where_to_go_on() -> None:
    page = wire.Codec("Node", Node).page(listed(node("a", unschedulable=True), node("b"), **{"continue": "more"}))

    assert [item.metadata.name for item in page.items] == ["a", "b"]
    assert page.items[0].spec.unschedulable
    assert (page.metadata.resource_version, page.metadata.continue_, page.bad) == ("9", "more", [])


def test_list_without_items_is_empty() -> None:
    page = wire.Codec("Node", Node).page(b'{"metadata": {"resourceVersion": "9"}, "items": null}')

    assert page.items == []


def test_bad_object_is_named_and_the_others_are_kept() -> None:
    page = wire.Codec("Node", Node).page(listed(node("a"), node("b", unschedulable="perhaps"), node("c")))

    assert [item.metadata.name for item in page.items] == ["a", "c"]
    assert [(bad.key, bad.version, str(bad.error)) for bad in page.bad] == [
        ("b", "7", "Node b: spec.unschedulable: Expected `bool`, got `str`")
    ]


def test_bad_object_of_a_namespace_is_named_in_full() -> None:
    raw = msgspec.Raw(b'{"metadata": {"namespace": "prod", "name": "db-0"}, "spec": {"priority": "high"}}')
    bad = wire.Codec("Pod", Pod).object(raw)

    assert isinstance(bad, wire.Bad)
    assert str(bad.error) == "Pod prod/db-0: spec.priority: Expected `int`, got `str`"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"<html>502 Bad Gateway</html>", id="proxy page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"metadata": {}, "items": [', id="cut off"),
    ],
)
def test_what_is_no_list_at_all_is_an_error(answer: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        wire.Codec("Node", Node).page(answer)


def test_events_are_split_and_typed() -> None:
    lines = b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n{"type":"BOOKMARK","object":{"metadata":{}}}\n'

    assert [event.type for event in wire.events(lines)] == ["ADDED", "BOOKMARK"]


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=20), st.data())
def test_lines_do_not_depend_on_how_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    splitter = wire.Lines()

    runs = [splitter.feed(stream[start:end]) for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert b"".join(runs) == stream
    assert all(run.endswith(b"\n") for run in runs if run)


def test_unfinished_line_is_held_back() -> None:
    splitter = wire.Lines()

    assert splitter.feed(b"one\ntw") == b"one\n"
    assert splitter.feed(b"o") == b""
    assert splitter.feed(b"\nthree") == b"two\n"


@pytest.mark.parametrize(
    ("data", "token"),
    [
        pytest.param(
            b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"a=b"},"items":[',
            "a=b",
            id="more to come",
        ),
        pytest.param(
            b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}', "", id="last"
        ),
        pytest.param(
            b'{"kind":"CSINodeList","apiVersion":"storage.k8s.io/v1","metadata":{"continue":"x"},"items":[',
            "x",
            id="of a group",
        ),
        pytest.param(
            b'{"apiVersion":"stowplan.dev/v1alpha1","items":[],"metadata":{"continue":"x"}}', "", id="metadata last"
        ),
        pytest.param(b'{"kind":"PodList","apiVersion":"v1","metadata":{"continue":7},"items":[]}', "", id="no token"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_token_of_the_next_page_is_in_the_first_bytes(data: bytes, token: str) -> None:
    assert wire.continuation(data) == token
