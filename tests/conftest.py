"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Programs that the tests start can be interrupted, even where the tests themselves run in the background.

    A shell starts background jobs with SIGINT and SIGQUIT ignored, and what is ignored stays so in all children; a
    handler of our own becomes the default in them.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
