"""Processors between Kafka topics: validation, risk, submitter, analytics; each runs as `python -m streams.NAME`."""

__all__: list[str] = []
