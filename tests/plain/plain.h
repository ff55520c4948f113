/* The plain second book: docs/reference/rules.md read once more, in the plainest C there is.
 *
 * Sorted linked lists, malloc, linear searches; the digest made anew from nothing each time it is asked for. No pools,
 * no indexes, no cleverness, and nothing shared with the core but the vocabulary: what both do alike, they do because
 * the page says so. It is quick enough to be held against the core for millions of commands
 * (tests/tools/differential.c) and for arbitrary ones (tests/fuzz/fuzz_differential.c).
 *
 *   group.c      1        which records form a command, and whether they may stand there
 *   number.c     2        notional, fees, locks
 *   check.c      3, 7     the reasons to refuse an order or a replacement, in the order in which they win
 *   terms.c      13, 19   what may be said of an order, price steps, the price of a pegged order
 *   order.c      4, 6-8   new order, cancel, replace, mass cancel
 *   match.c      5        makers, fills, self-trade prevention, settlement; the walk of 3; ends of links (15)
 *   waiting.c    14       stops, take-profits, trailing stops
 *   auction.c    17, 18   trading states, uncrossing, the circuit breaker
 *   admin.c      9        definitions and limits
 *   halt.c       9        halts and kills
 *   money.c      9, 19    deposits, withdrawals, floors
 *   bust.c       20       trades undone or settled anew
 *   system.c     10       terms, logons, what the ingress refused; nonces
 *   time.c       16, 21   what a clock tick brings; countdowns; checksums
 *   event.c      11, 21   events and their numbers
 *   digest.c     12
 *   state.c               what there is, and finding it
 *   plain.c               one command after another
 *
 * Memory that can't be had ends the process.
 */
#ifndef IRONBOOK_PLAIN_H
#define IRONBOOK_PLAIN_H

#include <stdbool.h>

#include "engine_node/core/vocabulary.h"

typedef struct plain plain;

typedef enum plain_answer {
    PLAIN_TAKEN,      /* the group was applied; its events are there to be read */
    PLAIN_CANT_STAND, /* damage: nothing changed */
    PLAIN_DIVERGED,   /* a digest record names another state: nothing changed */
} plain_answer;

/* An empty book. Keys are 1 .. key_count_max - 1. */
plain *plain_open(uint32_t key_count_max, uint64_t nonce_window_ns);
void plain_close(plain *book);

/* How many of the first `count` records form the next group; 0 if more are needed to tell. */
uint32_t plain_group(const wire_record *records, uint32_t count);

plain_answer plain_apply(plain *book, const wire_record *records, uint32_t count);

/* The events of the last group that was taken. Valid until the next one. */
const wire_report *plain_events(const plain *book, uint32_t *count);

uint64_t plain_digest(const plain *book);

#endif
