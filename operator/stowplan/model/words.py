"""Numbers in sentences for users. Called by whatever words a message, a condition or a table."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what is counted: "1 pod", "2 pods".

    Args:
        number: how many.
        one: what follows the number where it is 1; more than the noun where the verb depends on it, too.
        many: what follows any other number; "" for ``one`` with an s.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
