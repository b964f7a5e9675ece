"""The scheduler's memory and its one step: cache, queue, cycle. Pure; ``live`` drives it with the real cluster."""
