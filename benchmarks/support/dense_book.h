/* Books of several instruments in dense arrays: every price from the lowest to the highest has a place.
 *
 *   instrument 3:   price_min ................ best bid   best ask ................ price_max
 *                                    [ids 7, 9]           [id 4]
 *                   bids stand below best ask, asks above best bid, so one row of prices holds both sides;
 *                   an occupancy bit a price finds the next level
 *
 * The maker of flows draws against it, and it says what any engine must answer to a flow file. It is quick because
 * prices and ids are known to be dense; no ledger, no checks. Orders are known by the flow's ids throughout.
 */
#ifndef IRONBOOK_BENCHMARKS_DENSE_BOOK_H
#define IRONBOOK_BENCHMARKS_DENSE_BOOK_H

#include <stdbool.h>

#include "operations.h"

typedef struct dense_order {
    uint32_t previous, next; /* at its price, by id; 0: none */
    uint32_t price_index;
    uint32_t instrument;
    uint32_t account;
    uint32_t left; /* lots; 0: not in the book */
    uint32_t filled;
    uint8_t side;
} dense_order;

typedef struct dense_level {
    uint32_t first, last;
} dense_level;

typedef struct dense_book {
    int64_t price_min;
    uint32_t prices, words, instruments;
    uint32_t order_max; /* highest id */
    uint32_t open_count;
    uint64_t self_trades; /* fills between two orders of one account */
    uint64_t refused;     /* cancels and reduces of what is not in the book; reduces to no more than what has filled */
    dense_order *orders;  /* by id */
    dense_level *levels;
    uint64_t *occupied;
    int64_t *best_bid, *best_ask; /* by instrument: price index, or -1 / `prices` where a side is empty */
    flow_answer answer;
} dense_book;

/* Ends the program with a sentence if there is no memory. */
void dense_open(dense_book *b, uint32_t instruments, int64_t price_min, int64_t price_max, uint32_t order_max);
void dense_close(dense_book *b);

/* Do one operation; fills go into b->answer. Ends the program if the operation is not one that a flow may hold. */
void dense_apply(dense_book *b, const operation *operation);

/* Best price index of a side, or -1. */
int64_t dense_best(const dense_book *b, uint32_t instrument, uint8_t side);

/* Next price index behind this one on that side, or -1. */
int64_t dense_next(const dense_book *b, uint32_t instrument, uint8_t side, int64_t price_index);

/* Oldest order at a price, 0 if there is none. */
uint32_t dense_first(const dense_book *b, uint32_t instrument, int64_t price_index);

#endif
