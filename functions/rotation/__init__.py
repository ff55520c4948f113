"""Secrets that change themselves: create, set, test, finish, and the old one ends when nobody needs it any more.

handler.py   an event in, an answer out          rotation.py   the use case: one secret led from step to step
steps.py     what the labels say is to be done   holders.py    who must hold it, and who does not yet     (both pure)
kinds/       what a secret of each kind is, how it is made, given out, tried and ended
store.py (Secrets Manager)  database.py (PostgreSQL)  kafka_users.py  doors.py (engine, gateway, TLS)    are adapters
"""
