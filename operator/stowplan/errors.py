"""The exceptions that Stowplan raises on purpose; everything else that escapes is a defect.

::

    StowplanError                 shown to a user as one line
      +- UsageError               bad input: a file, a flag, a configuration value (exit code 2)
      +- InvalidObject            an API object that cannot be understood; names the object and the field
      +- ApiError                 the API server answered with a failure status (exit code 3)
      |    +- Conflict            409: somebody else was there first
      |    +- NotFound            404
      |    +- Gone                410: the resource version is too old; list again
      +- ApiUnreachable           no answer from the API server (exit code 3)
      +- LeadershipLost           the lease is somebody else's now; the process must end

An expected failure of scheduling (a pod that fits nowhere) is a value, not an exception.
"""

from __future__ import annotations


class StowplanError(Exception):
    """Base of all errors that a user may see."""


class UsageError(StowplanError):
    """Input that the user can correct: exit code 2."""


class InvalidObject(StowplanError):  # noqa: N818
    """An API object with a field that cannot be understood."""

    def __init__(self, what: str, field: str, problem: str) -> None:
        super().__init__(f"{what}: {field}: {problem}")
        self.what = what
        self.field = field
        self.problem = problem


class ApiError(StowplanError):
    """The API server answered with a failure status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message or reason or f"HTTP {status}")
        self.status = status
        self.reason = reason


class Conflict(ApiError):  # noqa: N818
    """409: the object has changed, or exists already."""


class NotFound(ApiError):  # noqa: N818
    """404: no such object."""


class Gone(ApiError):  # noqa: N818
    """410: the resource version is too old; list again."""


class ApiUnreachable(StowplanError):  # noqa: N818
    """The API server gives no answer: exit code 3."""


class LeadershipLost(StowplanError):  # noqa: N818
    """The lease was lost; nothing may be written any more."""
