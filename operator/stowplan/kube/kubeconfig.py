"""What is wrong with a kubeconfig that ``config`` could not load, for people.

The library that reads them says for most of this which attribute of which of its objects is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

Document = Mapping[str, object]


def fault(path: str, context: str | None) -> str:
    """What is wrong, and what to do; "" where nothing of what people get wrong is.

    Args:
        path: of one file, or of several that are merged, as in ``$KUBECONFIG``.
        context: the one that was asked for; None for the current one.

    Raises:
        OSError, UnicodeDecodeError, yaml.YAMLError: a file cannot be read.
    """
    documents: list[Document] = []
    for part in path.split(os.pathsep):
        document = yaml.safe_load(Path(part).expanduser().read_text())
        if not isinstance(document, dict):
            return "it must be a mapping with clusters, users and contexts"
        documents.append(document)
    contexts = _named(documents, "contexts", "context")
    there = f"there are: {', '.join(sorted(contexts))}" if contexts else "there is none at all"
    chosen = context or next((str(each["current-context"]) for each in documents if each.get("current-context")), "")
    if not chosen:
        return f"it has no current-context, so choose one with --context; {there}"
    if chosen not in contexts:
        return f"it has no context {chosen!r}; {there}"
    for kind, word in (("clusters", "cluster"), ("users", "user")):
        name = contexts[chosen].get(word)
        if name and name not in _named(documents, kind, word):
            return f"its context {chosen!r} names the {word} {name!r}, which it does not have"
    return ""


def _named(documents: Iterable[Document], kind: str, word: str) -> dict[str, Document]:
    """The entries of a list by name; what is not shaped like one is left out."""
    found: dict[str, Document] = {}
    for document in documents:
        entries = document.get(kind)
        for entry in entries if isinstance(entries, list) else ():
            inner = entry.get(word) if isinstance(entry, dict) else None
            if isinstance(inner, dict):
                found.setdefault(str(entry.get("name")), inner)
    return found
