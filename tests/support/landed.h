/* What of the rules both the core and the plain book have: random commands use nothing else. Whoever brings a part into
 * the core sets its line to 1, and holds the two against each other (tools/differential). */
#ifndef IRONBOOK_LANDED_H
#define IRONBOOK_LANDED_H

#define LANDED_COUNTDOWN 1  /* 16: countdown_cancel */
#define LANDED_TERMS 1      /* 13: order_terms, market_by_quote; 15: cancel_first */
#define LANDED_EXPIRY 1     /* 16: expire_ns; 17: day orders */
#define LANDED_WAITING 1    /* 14: stops, take-profits, trailing stops */
#define LANDED_LINKS 1      /* 15: one_cancels_other */
#define LANDED_STATES 1     /* 17: instrument_state and what it does; 16: openings */
#define LANDED_CHECKSUMS 1  /* 16: indicative, 21: book_checksum (a clock tick brings them) */
#define LANDED_KILL 1       /* 9: kill, halts of a firm */
#define LANDED_BREAKER 1    /* 18 */
#define LANDED_RATES 1      /* 19: fee tiers, price steps, floors */
#define LANDED_FEE_PAYOUT 1 /* 9 */
#define LANDED_BUSTS 1      /* 20, and the trades kept (12: tag 11 and their number) */

#endif
