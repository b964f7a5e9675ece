"""The process: configuration, logs, metrics, health, and the wiring that joins the parts of Stowplan."""
