"""``python -m stowplan`` is the ``stowplan`` command."""

from stowplan.cli import main

main()
