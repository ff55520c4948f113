"""The slow, obvious exchange: docs/reference/rules.md read a second time, in plain Python.

It shares nothing with the C core but the vocabulary (layouts, kinds, codes). What is here is to be read beside the page
of rules: one file for each part of it, small functions, dicts, lists and whole numbers, and no cleverness.

    numbers.py    2       notional, fees, locks; the mixing of the digest
    state.py              what there is: assets, instruments, accounts, orders, ...
    groups.py     1       which records form a command, and whether they may stand there
    events.py     11, 21  numbering of events and reports; top
    checks.py     3, 6-9  the reasons to refuse, in the order in which they win
    named.py      6       the open order that a command names
    terms.py      13      what an order_terms prefix may say
    unlit.py      13      prices of pegged orders, whom all-or-none ones meet
    links.py      15      who may be linked with whom, and what the two lock
    ledger.py     5       locks and settlement
    book.py       5       the places of open orders
    makers.py     5, 3    whom a taker meets, and what it would find
    matching.py   5       fills and self-trade prevention
    cancels.py    6, 15   lots taken off, and the partner that goes with them
    taking.py     4       the run of a taker, and what is left of it
    orders.py     4, 6-7  new order, cancel, replace
    waiting.py    14      orders that wait, trail and fire
    auctions.py   17      trading states and uncrossing
    breaker.py    18      the circuit breaker
    rates.py      19      fee tiers, price steps, floors
    busts.py      20      the last trades, undone or settled anew
    clock.py      16, 21  expiry, countdowns, openings, checksums
    sweeps.py     8       cancels of many orders: mass cancel, kill, a lost line
    admin.py      9, 10   definitions, limits, money, halts; system records
    digest.py     12
    oracle.py             the whole
"""
