"""What all processors share: settings, messages, state, retry, the worker around their agents."""

__all__: list[str] = []
