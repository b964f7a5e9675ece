"""Which items belong to a key, in their order. Used by ``framework.volumes`` for its objects."""

from __future__ import annotations


class Index(dict[str, tuple[str, ...]]):
    """Key to the names of its items, sorted; a key without items is not there."""

    __slots__ = ()

    def move(self, item: str, old: str, new: str) -> None:
        """Moves an item from one key to another; "" is no key."""
        if old == new:
            return
        if old:
            left = tuple(each for each in self[old] if each != item)
            if left:
                self[old] = left
            else:
                del self[old]
        if new:
            self[new] = tuple(sorted((*self.get(new, ()), item)))
