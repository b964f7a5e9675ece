"""Which events are worth a request."""

from __future__ import annotations

import pytest

from stowplan.kube import eventlog
from stowplan.kube.eventlog import Entry, EventLog, Report, Subject, shortened


def pod(name: str) -> Subject:
    return Subject(api_version="v1", kind="Pod", namespace="prod", name=name, uid=f"uid-of-{name}")


POD = pod("db-0")


def report(note: str = "0/3 nodes are available", subject: Subject = POD) -> Report:
    return Report(subject=subject, type="Warning", reason="FailedScheduling", action="Scheduling", note=note)


def written(entry: Entry | None, now: float) -> Entry:
    assert entry is not None
    entry.mark(count=entry.count, now=now)
    entry.queued = False
    return entry


def test_first_report_is_written_at_once() -> None:
    entry = EventLog().record(report(), 1000.0)

    assert entry is not None
    assert (entry.count, entry.first) == (1, 1000.0)


def test_repeats_are_counted_and_the_count_is_written_once_a_heartbeat() -> None:
    log = EventLog()
    first = written(log.record(report(), 1000.0), 1000.0)

    second = log.record(report(), 1001.0)
    assert second is first
    assert written(second, 1001.0).count == 2

    assert [log.record(report(), 1001.0 + n) for n in range(1, 50)] == [None] * 49
    late = log.record(report(), 1001.0 + eventlog.HEARTBEAT)
    assert late is first
    assert late.count == 52


def test_report_that_waits_to_be_sent_is_not_queued_twice() -> None:
    log = EventLog()
    entry = log.record(report(), 1000.0)

    assert log.record(report(), 1000.1) is None
    assert entry is not None
    assert entry.count == 2


def test_another_note_is_another_event() -> None:
    log = EventLog()
    first = written(log.record(report("too little memory"), 1000.0), 1000.0)
    second = written(log.record(report("no volume"), 1000.0), 1000.0)

    assert first.name != second.name


def test_after_the_window_a_new_event_begins() -> None:
    log = EventLog()
    first = written(log.record(report(), 1000.0), 1000.0)
    later = written(log.record(report(), 1000.0 + eventlog.WINDOW + 1), 1000.0)

    assert later is not first
    assert later.count == 1


def test_flood_about_one_object_is_cut_and_others_are_not() -> None:
    log = EventLog()
    entries = [log.record(report(f"reason {n}"), 1000.0) for n in range(100)]

    assert sum(entry is not None for entry in entries) == eventlog.BURST
    assert log.suppressed == 100 - eventlog.BURST
    assert log.record(report(subject=pod("db-1")), 1000.0) is not None
    assert log.record(report("reason 200"), 1000.0 + 1 / eventlog.REFILL) is not None
    assert log.record(report("reason 201"), 1000.0 + 1 / eventlog.REFILL) is None


def test_grown_count_is_due_after_a_heartbeat_even_if_nothing_happens_any_more() -> None:
    log = EventLog()
    entry = written(log.record(report(), 1000.0), 1000.0)
    written(log.record(report(), 1001.0), 1001.0)
    log.record(report(), 1002.0)

    assert log.due(1010.0) == []
    assert log.due(1001.0 + eventlog.HEARTBEAT) == [entry]


def test_at_the_end_every_unwritten_count_is_told() -> None:
    log = EventLog()
    entry = written(log.record(report(), 1000.0), 1000.0)
    written(log.record(report(), 1001.0), 1001.0)
    log.record(report(), 1002.0)

    assert log.unwritten() == [entry]
    assert log.unwritten() == []


def test_event_that_could_not_be_written_is_not_tried_for_ever() -> None:
    log = EventLog()
    entry = log.record(report(), 1000.0)
    assert entry is not None
    entry.give_up()

    assert [log.due(1000.0 + n * 15) for n in range(100)] == [[]] * 100


def test_only_so_many_objects_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "SUBJECTS", 2)
    log = EventLog()
    for name in ("a", "b", "c"):
        written(log.record(report(subject=pod(name)), 1000.0), 1000.0)

    again = log.record(report(subject=pod("a")), 1001.0)

    assert again is not None
    assert again.count == 1


def test_names_are_unique_within_a_nanosecond_and_fit_a_dns_name() -> None:
    log = EventLog()
    long = pod("x" * 228 + "-." + "y" * 20)
    names = [written(log.record(report(str(n), long), 1.7e9), 0).name for n in range(20)]

    assert len(set(names)) == 20
    assert all(len(name) <= 253 and "-." not in name[-20:] for name in names)


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        pytest.param("short", "short", id="short"),
        pytest.param("x" * 1024, "x" * 1024, id="just fits"),
        pytest.param("x" * 1025, "x" * 1020 + " ...", id="cut"),
        pytest.param("é" * 600, "é" * 510 + " ...", id="cut between characters"),
    ],
)
def test_notes_are_cut_at_a_kibibyte(note: str, expected: str) -> None:
    assert shortened(note) == expected
