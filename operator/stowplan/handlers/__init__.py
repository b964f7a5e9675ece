"""The controllers of the two kinds: kopf says that something changed, level-triggered reconciles see to it.

``operator.Operator`` is what ``app`` starts on the leader::

    kopf watches the CRs ---+
    pods and claims, seen   +--> work queue --> clusters: observe -> reconcile.decide -> executor -> status
    by the scheduling loop -+              +--> policies: list -> the scheduling loop; its counts -> status

It runs in a thread and an event loop of its own (kopf cancels every task of its loop when it ends), and asks the
scheduling loop through ``world.World``.
"""

import sys

_MODELS = "kubernetes_asyncio"


def _import_kopf_alone() -> None:
    """Imports kopf, which takes along the models of kubernetes_asyncio where it finds them.

    That is half a second and 37 MiB, for objects that nobody here gives to kopf. It does without where it finds none.
    """
    if _MODELS in sys.modules:
        return
    sys.modules[_MODELS] = None  # type: ignore[assignment]  # to whoever imports it, it is not there
    try:
        import kopf  # noqa: F401, PLC0415
    finally:
        del sys.modules[_MODELS]


_import_kopf_alone()
