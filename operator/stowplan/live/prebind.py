"""What volumes need before a pod is bound: the writes that ``VolumeBinding`` asked for, and the wait for Bound.

Source: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/volumebinding/binder.go`` (``BindPodVolumes``,
``checkBindings``).
"""

from __future__ import annotations
