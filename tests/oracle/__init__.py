"""The slow, obvious exchange: docs/reference/rules.md read a second time, in plain Python.

It shares nothing with the C core but the vocabulary (layouts, kinds, codes). What is here is to be read beside the page
of rules: one file for each part of it, small functions, dicts, lists and whole numbers, and no cleverness.

    numbers.py    2       notional, fees, locks; the mixing of the digest
    state.py              what there is: assets, instruments, accounts, orders, ...
    groups.py     1       which records form a command, and whether they may stand there
    events.py     11      numbering of events and reports
    checks.py     3, 6-9  the reasons to refuse, in the order in which they win
    ledger.py     5       locks and settlement
    book.py       5       levels, level 3, book updates
    matching.py   5       fills and self-trade prevention
    orders.py     4, 6-8  new order, cancel, replace, mass cancel
    admin.py      9, 10   definitions, limits, money, halts; system records
    digest.py     12
    oracle.py             the whole
"""
