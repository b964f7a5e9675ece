"""The controllers of the two kinds: kopf says that something changed, level-triggered reconciles see to it.

``operator.Operator`` is what ``app`` starts on the leader::

    kopf watches the CRs ---+
    pods and claims, seen   +--> work queue --> clusters: observe -> reconcile.decide -> executor -> status
    by the scheduling loop -+              +--> policies: list -> the scheduling loop; its counts -> status

It runs in a thread and an event loop of its own (kopf cancels every task of its loop when it ends), and asks the
scheduling loop through ``world.World``.
"""
