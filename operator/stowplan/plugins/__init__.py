"""The scheduling plugins: one rule each, in a file of its own, against the contract in ``framework.plugin``."""
