"""Which events are worth a request: repeats become a count, floods are cut.

The pure half of ``events``: what happened goes in, entries to be written come out; time is an argument (Unix seconds).

Rules, after k8s.io/client-go v0.36.3: the same event about the same object within ``WINDOW`` is one object with a
growing ``series.count`` (``tools/events/event_broadcaster.go``; its six minutes), where we compare the note too, so
that a new reason why a pod does not fit is told and not swallowed; and an object may be the subject of ``BURST`` new
events and one more every five minutes (``tools/record/events_cache.go``, EventSourceObjectSpamFilter).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 360.0
HEARTBEAT: Final = 60.0
"""A growing count is written this often at most."""
BURST: Final = 25
REFILL: Final = 1 / 300
SUBJECTS: Final = 4096
"""Objects that are remembered; the one that was quiet longest is forgotten first."""
NOTE_BYTES: Final = 1024
NAME_LENGTH: Final = 230


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The object that an event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What happened: ``type`` is Normal or Warning; ``related`` is another object that has a part in it.

    Attributes:
        controller: who reports it; "" for the one that all of them have in common.
    """

    subject: Subject
    type: str
    reason: str
    action: str
    note: str
    related: Subject | None = None
    controller: str = ""


@dataclass(kw_only=True, slots=True)
class Entry:
    """An event object: how often its report was made, and how much of that the API server knows."""

    report: Report
    name: str
    first: float
    last: float
    count: int = 1
    written: int = 0
    written_at: float = 0.0
    queued: bool = True

    def mark(self, *, count: int, now: float) -> None:
        """The API server knows of ``count`` occurrences."""
        self.written, self.written_at = count, now

    def give_up(self) -> None:
        """It could not be written; only if it happens again is it tried again."""
        self.written = self.count
        self.queued = False


@dataclass(slots=True)
class _Memory:
    tokens: float
    at: float
    entries: dict[Report, Entry] = field(default_factory=dict)


class EventLog:
    """Decides what has to be written.

    Attributes:
        suppressed: new events that were not made since their object had too many.
    """

    def __init__(self) -> None:
        self._memory: OrderedDict[Subject, _Memory] = OrderedDict()
        self._last_name = 0
        self.suppressed = 0

    def record(self, report: Report, now: float) -> Entry | None:
        """Take a report: the entry that has to be written now, or None."""
        memory = self._memory.get(report.subject)
        if memory is None:
            memory = self._memory[report.subject] = _Memory(tokens=BURST, at=now)
            if len(self._memory) > SUBJECTS:
                self._memory.popitem(last=False)
        else:
            self._memory.move_to_end(report.subject)
        entry = memory.entries.get(report)
        if entry is not None and now - entry.last <= WINDOW:
            entry.count += 1
            entry.last = now
            return self._due(entry, now)
        memory.tokens = min(memory.tokens + (now - memory.at) * REFILL, BURST)
        memory.at = now
        if memory.tokens < 1:
            self.suppressed += 1
            return None
        memory.tokens -= 1
        entry = Entry(report=report, name=self._name(report.subject, now), first=now, last=now)
        memory.entries[report] = entry
        return entry

    def single(self, report: Report, now: float) -> Entry:
        """An entry for what happens to an object only once: nothing of it is remembered."""
        return Entry(report=report, name=self._name(report.subject, now), first=now, last=now)

    def due(self, now: float) -> list[Entry]:
        """Counts that have grown and were not written for a heartbeat; forgets what is over."""
        entries: list[Entry] = []
        for subject, memory in list(self._memory.items()):
            for report, entry in list(memory.entries.items()):
                if (ready := self._due(entry, now)) is not None:
                    entries.append(ready)
                elif now - entry.last > WINDOW and not entry.queued:
                    del memory.entries[report]
            if not memory.entries and memory.tokens + (now - memory.at) * REFILL >= BURST:
                del self._memory[subject]
        return entries

    def unwritten(self) -> list[Entry]:
        """All counts that the API server does not know yet: at the end, there is no later."""
        waiting = [entry for memory in self._memory.values() for entry in memory.entries.values()]
        return [self._queue(entry) for entry in waiting if not entry.queued and entry.count > entry.written]

    def _due(self, entry: Entry, now: float) -> Entry | None:
        if entry.queued or entry.count == entry.written:
            return None
        if entry.written > 1 and now - entry.written_at < HEARTBEAT:
            return None
        return self._queue(entry)

    @staticmethod
    def _queue(entry: Entry) -> Entry:
        entry.queued = True
        return entry

    def _name(self, subject: Subject, now: float) -> str:
        """``<name>.<hex of nanoseconds>``, never the same twice (client-go ``tools/record/util``)."""
        self._last_name = max(self._last_name + 1, int(now * 1e9))
        return f"{subject.name[:NAME_LENGTH].rstrip('.-')}.{self._last_name:x}"


def shortened(note: str) -> str:
    """At most ``NOTE_BYTES`` bytes, as kube-scheduler cuts its messages (``schedule_one.go``, truncateMessage)."""
    encoded = note.encode()
    if len(encoded) <= NOTE_BYTES:
        return note
    return encoded[: NOTE_BYTES - 4].decode(errors="ignore") + " ..."
