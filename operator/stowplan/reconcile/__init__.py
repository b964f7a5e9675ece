"""What to do about a StatefulCluster, decided without I/O and without a clock.

``observed`` is what was read, ``fleet`` classifies it into members, ``decide`` plans the next writes, ``status`` and
``policy_status`` say how things stand. ``handlers`` does the reading and the writing around it.
"""
