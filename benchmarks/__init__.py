"""Benchmarks: side by side, with their answers checked. `python -m benchmarks.run --help`."""

__all__: list[str] = []
