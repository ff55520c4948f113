"""Accepted orders into the engine, each once: the last stage before the core."""
