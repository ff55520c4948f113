"""Portfolio risk: what a firm and its accounts hold, have open and have lost, and what may therefore pass.

    limits.py   limits, and the bodies of the envelopes that set them
    book.py     the figures of a firm: positions, open and reserved orders, profit; kept up to date by differences
    rules.py    the folds and the decision; pure
    journal.py  how the state is kept in a table: a snapshot and the entries since
    agents.py   messages in, answers out
    control.py  what risk wants done on the engine, done by an admin session
"""
