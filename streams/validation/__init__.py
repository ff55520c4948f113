"""Signature, time, nonce, schema and numbers of submitted orders: the first stage behind the topic."""
