"""State of validation: the nonces of each message, under its offset; see nonces.py."""

from __future__ import annotations

from streams.validation.app import worker

nonces = worker.state("nonces", group="firm")
