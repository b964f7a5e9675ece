"""The contract between the scheduler and its plugins: what a plugin sees, what it answers, who calls it when.

``plugin`` is the place to start: it defines the extension points. ``snapshot`` is what plugins read. ``runtime``
runs the plugins of a profile over a snapshot.
"""
