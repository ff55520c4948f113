"""The command line: `ironbook`, or `python -m ironbook`."""

from ironbook.cli._app import main

__all__ = ["main"]
