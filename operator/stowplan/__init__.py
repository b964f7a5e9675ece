"""Stowplan places stateful services over failure domains: a Kubernetes operator and scheduler."""

from __future__ import annotations

__version__ = "0.1.0"
