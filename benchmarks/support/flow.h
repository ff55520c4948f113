/* A seeded flow of orders like a recorded hour: of 100 commands about 49 enter an order that rests, 46 cancel, 5 take.
 *
 *      bids                     mid                     asks
 *      9,900 ... 9,998  9,999 | 10,000 | 10,001  10,002 ... 10,100
 *      few orders       most orders are near the touch   few orders
 *
 * The flow keeps a book of its own (price levels, first in first out), so it knows before the engine does what each
 * command must answer: how many reports, and which. Nothing in it is ever refused. The same seed gives the same flow.
 */
#ifndef IRONBOOK_BENCHMARKS_FLOW_H
#define IRONBOOK_BENCHMARKS_FLOW_H

#include "engine_node/core/vocabulary.h"

typedef struct flow flow;

typedef struct flow_options {
    uint64_t seed;
    uint32_t account_first, account_count; /* orders are spread evenly over these */
    uint32_t instrument;
    uint32_t open_target; /* resting orders: the flow fills up to so many, then stays near it */
    uint32_t level_count; /* price levels a side, at most 65,536 */
    int64_t mid_price_ticks;
} flow_options;

/* NULL if there is no memory. */
flow *flow_open(const flow_options *options);
void flow_close(flow *f);

/* The next command, without a client sequence. Returns how many reports its key gets if it entered all orders. */
uint32_t flow_next(flow *f, uint8_t command[COMMAND_BYTES]);

/* Only orders that rest, for filling a book: the next one. */
uint32_t flow_next_resting(flow *f, uint8_t command[COMMAND_BYTES]);

uint32_t flow_open_count(const flow *f);

/* Number of new orders (resting and taking) handed out so far. */
uint64_t flow_order_count(const flow *f);

/* ---- What the engine must know before the flow starts ------------------------------------------------------------ */

/* Asset 1 and 2, instrument `instrument`, the accounts with ample funds. Calls `emit` for each command, prefixes too;
 * `closes` is false for a prefix. Returns how many commands. */
typedef void (*flow_emit)(void *self, const uint8_t command[COMMAND_BYTES], int closes);
uint32_t flow_setup(const flow_options *options, flow_emit emit, void *self);

/* Put a client sequence into a command. */
void flow_number(uint8_t command[COMMAND_BYTES], uint64_t client_sequence);

/* Go on with a digest of answers: what happened, without ids and times of the engine. */
uint64_t flow_digest(uint64_t digest, const wire_report *report);

#endif
