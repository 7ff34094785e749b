"""``python -m undercurrent``: the command line."""

from undercurrent.entry import main

__all__: list[str] = []

main()
