"""The engine node: one process that takes signed orders, matches them and keeps the journal.

`engine_node.server` is the primary; `engine_node.replica` is for everybody else who wants the same state.
"""
