"""The scheduler on a real cluster: watch, decide, write. The pure half is in ``scheduler``."""
