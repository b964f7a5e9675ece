"""What the scheduler would do, on a state that is given: ``explain`` one pod, ``plan`` all pending ones. Pure."""
