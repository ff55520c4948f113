"""Scenarios: what is sent and what must come of it, side by side, in files that a trader can read.

    == a resting order is hit
    alice sell 7 @ 1600 as s1            -> accepted s1 sell 7 @ 1600
    bob buy 2 @ 1700 ioc as b1           -> accepted b1 buy 2 @ 1700, trade s1/b1 2 @ 1600,
                                         -> filled s1 2 @ 1600 maker fee 0 left 5, filled b1 2 @ 1600 taker fee 0 done
    book                                 -> | 1600: 5

README.md describes the language. language.py reads it, commands.py turns a line into records, exchanges.py has the two
exchanges that each scenario is run against, market.py runs it and says where what came differs from what was expected.
"""
