"""Whoever logs, and however: one line per record, with the same head."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from stowplan.app import logging as app_logging


@pytest.fixture(autouse=True)
def _logging_is_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own would be closed
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_a_json_object_that_begins_with_the_same_four_keys() -> None:
    stream = io.StringIO()
    app_logging.configure(stream=stream)
    structlog.get_logger("stowplan.live").info("scheduled", pod="a/b", score=7, node=None)
    (line,) = lines(stream)
    assert list(line) == ["ts", "level", "logger", "msg", "pod", "score", "node"]
    assert line | {"ts": ""} == {
        "ts": "",
        "level": "info",
        "logger": "stowplan.live",
        "msg": "scheduled",
        "pod": "a/b",
        "score": 7,
        "node": None,
    }


def test_text_is_key_equals_value() -> None:
    stream = io.StringIO()
    app_logging.configure(form="text", stream=stream)
    structlog.get_logger("x").warning("it is late", pod="a/b", why="no node\nat all")
    stamp, rest = stream.getvalue().split(" ", 1)
    assert stamp.startswith("ts=2")
    assert stamp.endswith("Z")
    assert rest == 'level=warning logger=x msg="it is late" pod=a/b why="no node\\nat all"\n'


@pytest.mark.parametrize("form", [pytest.param("json", id="json"), pytest.param("text", id="text")])
def test_an_exception_stays_on_its_line(form: app_logging.Format) -> None:
    stream = io.StringIO()
    app_logging.configure(form=form, stream=stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("y").exception("failed too")
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert text.count("Traceback") == 2
    assert text.count("level=error" if form == "text" else '"level":"error"') == 2


def test_the_standard_library_comes_out_the_same_way() -> None:
    stream = io.StringIO()
    app_logging.configure(stream=stream)
    logging.getLogger("some.library").warning("%d of %s", 3, "them")
    (line,) = lines(stream)
    assert line | {"ts": ""} == {"ts": "", "level": "warning", "logger": "some.library", "msg": "3 of them"}


def test_a_warning_of_python_is_a_record() -> None:
    stream = io.StringIO()
    app_logging.configure(stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in str(line["msg"])


def test_kopf_says_which_object_it_is_about() -> None:
    stream = io.StringIO()
    app_logging.configure(stream=stream)
    reference = {"kind": "SchedulingPolicy", "namespace": "prod", "name": "ha"}
    logging.getLogger("kopf.objects").error("no", extra={"k8s_ref": reference})
    (line,) = lines(stream)
    assert (line["kind"], line["object"]) == ("SchedulingPolicy", "prod/ha")


@pytest.mark.parametrize(
    ("level", "expected"),
    [pytest.param("info", ["warning", "error"], id="info"), pytest.param("error", ["error"], id="error")],
)
def test_a_request_that_kopf_repeats_is_no_error(level: app_logging.Level, expected: list[str]) -> None:
    stream = io.StringIO()
    app_logging.configure(level=level, stream=stream)
    logging.getLogger("kopf._cogs.clients.watching").error("Request attempt #1/9 failed; will retry: GET …")
    logging.getLogger("kopf.objects").error("a handler failed")
    assert [line["level"] for line in lines(stream)] == expected


@pytest.mark.parametrize(
    ("level", "written"),
    [
        pytest.param("debug", ["debug", "info", "warning", "error"], id="debug"),
        pytest.param("info", ["info", "warning", "error"], id="info"),
        pytest.param("warning", ["warning", "error"], id="warning"),
        pytest.param("error", ["error"], id="error"),
    ],
)
def test_what_is_below_the_level_is_not_written(level: app_logging.Level, written: list[str]) -> None:
    stream = io.StringIO()
    app_logging.configure(level=level, stream=stream)
    ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
    for name in ("debug", "info", "warning", "error"):
        getattr(ours, name)("one")
        getattr(theirs, name)("other")
    assert [(line["logger"], line["level"]) for line in lines(stream)] == [
        (logger, name) for name in written for logger in ("ours", "theirs")
    ]


@pytest.mark.parametrize("name", ["kopf.objects", "aiohttp.access", "asyncio"])
def test_libraries_tell_their_steps_only_when_debugging(name: str) -> None:
    for level, expected in (("info", 0), ("debug", 1)):
        stream = io.StringIO()
        app_logging.configure(level=level, stream=stream)  # type: ignore[arg-type]
        logging.getLogger(name).info("handler succeeded")
        assert len(lines(stream)) == expected


def test_a_value_of_any_type_can_be_logged() -> None:
    stream = io.StringIO()
    app_logging.configure(stream=stream)
    structlog.get_logger("x").info("odd", error=ValueError("why"), seen={1}, raw=b"\xff")
    (line,) = lines(stream)
    assert line["error"] == "why"


def test_a_module_may_make_its_logger_before_logging_is_configured() -> None:
    early = structlog.get_logger("early")
    stream = io.StringIO()
    app_logging.configure(stream=stream)
    early.info("late")
    assert lines(stream)[0]["logger"] == "early"
