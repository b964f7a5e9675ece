"""JSON of lists and watches to structs.

``Codec`` and ``Lines`` serve the reflector and the command line. A whole page, a whole chunk of a watch, is decoded in
one call of msgspec. One object that its struct refuses must not hide the others: then, and only then, the same bytes
are decoded object by object, and the bad one is named.

Sources: k8s.io/apimachinery v0.36.3 ``pkg/apis/meta/v1/types.go`` (ListMeta) and ``watch.go`` (WatchEvent).
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

import msgspec

from stowplan.errors import InvalidObject
from stowplan.model import objects

K = TypeVar("K", bound=objects.KubeObject)

ADDED, MODIFIED, DELETED, BOOKMARK, ERROR = "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"


class ListMeta(msgspec.Struct, rename="camel"):
    """``metav1.ListMeta``, reduced; ``continue_`` is empty on the last page."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct, Generic[K]):
    metadata: ListMeta
    items: list[K] | None = None


class _RawList(msgspec.Struct):
    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct):
    """``metav1.WatchEvent``: the object is decoded once the type is known."""

    type: str
    object: msgspec.Raw


class Bad(msgspec.Struct):
    """An object that its struct refuses: which one, and why."""

    key: str
    version: str
    error: InvalidObject


class Page(msgspec.Struct, Generic[K]):
    """A page of a list: what could be decoded and what could not."""

    metadata: ListMeta
    items: list[K]
    bad: list[Bad]


_BEGINNING = re.compile(rb'\{"kind":"\w+","apiVersion":"[\w./]+","metadata":(\{[^{}]*\})')
_LIST_META = msgspec.json.Decoder(ListMeta)
_EVENTS = msgspec.json.Decoder(WatchEvent)
_RAW_LIST = msgspec.json.Decoder(_RawList)
_METADATA = msgspec.json.Decoder(objects.KubeObject)


def continuation(data: bytes) -> str:
    """The token for the page after this one, from its first bytes; "" where they do not tell.

    The API server begins the lists of its own kinds with their metadata. Those of custom resources end with it.
    """
    found = _BEGINNING.match(data)
    try:
        return _LIST_META.decode(found[1]).continue_ if found else ""
    except msgspec.DecodeError:
        return ""


class Codec(Generic[K]):
    """Decoders of one kind."""

    def __init__(self, kind: str, type_: type[K]) -> None:
        self._kind = kind
        self._object = msgspec.json.Decoder(type_)
        self._list = msgspec.json.Decoder(_List[type_])  # type: ignore[valid-type]

    def page(self, data: bytes) -> Page[K]:
        """Decode a list.

        Raises:
            msgspec.DecodeError: it is no list at all.
        """
        try:
            whole = self._list.decode(data)
        except msgspec.ValidationError:
            return self._piecewise(data)
        return Page(metadata=whole.metadata, items=whole.items or [], bad=[])

    def object(self, data: msgspec.Raw | bytes) -> K | Bad:
        """Decode one object, or say which field cannot be understood."""
        try:
            return self._object.decode(data)
        except msgspec.ValidationError as error:
            return self._bad(data, error)

    def _piecewise(self, data: bytes) -> Page[K]:
        raw = _RAW_LIST.decode(data)
        page: Page[K] = Page(metadata=raw.metadata, items=[], bad=[])
        for item in raw.items or []:
            decoded = self.object(item)
            if isinstance(decoded, Bad):
                page.bad.append(decoded)
            else:
                page.items.append(decoded)
        return page

    def _bad(self, data: msgspec.Raw | bytes, error: msgspec.ValidationError) -> Bad:
        try:
            known = _METADATA.decode(data)
        except msgspec.ValidationError:
            known = objects.KubeObject()
        problem, _, where = str(error).partition(" - at `")
        what = f"{self._kind} {known.key or 'without a name'}"
        invalid = InvalidObject(what, where.rstrip("`").removeprefix("$.") or "?", problem)
        return Bad(key=known.key, version=known.metadata.resource_version, error=invalid)


def events(lines: bytes) -> list[WatchEvent]:
    """Split whole lines of a watch into its events."""
    return _EVENTS.decode_lines(lines)


def metadata(data: msgspec.Raw | bytes) -> objects.KubeObject:
    """Decode the metadata alone (of a bookmark)."""
    return _METADATA.decode(data)


class Lines:
    """Cuts a stream of chunks of any size into runs of whole lines; a line may span any number of chunks."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Add a chunk: all complete lines so far, each with its newline, or nothing."""
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            self._pieces.append(chunk)
            return b""
        whole = b"".join((*self._pieces, chunk[:end]))
        self._pieces = [chunk[end:]] if end < len(chunk) else []
        return whole
