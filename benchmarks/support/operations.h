/* A flow file: operations on order books that any engine can do, so that several can do the same and be compared.
 *
 *   0        8        16         24            28         32           64
 *   | magic  | count  | preload  | instruments | accounts | zero …     | operation 1 (48 bytes) | operation 2 | …
 *                       the first `preload` operations set the stage and are not timed
 *
 * All integers are little-endian. Orders are numbered by the flow, rising from 1; a cancel and a reduce name the order
 * they change. A cancel may name an order that has left the book, or one that never came: the engine refuses it.
 * In a flow that this project makes nobody trades with himself, and everything but such cancels is accepted.
 */
#ifndef IRONBOOK_BENCHMARKS_OPERATIONS_H
#define IRONBOOK_BENCHMARKS_OPERATIONS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_MAGIC "IBFLOW01"
#define FLOW_DIGEST_START 14695981039346656037ull /* FNV-1a's offset and prime, over whole words */
#define FLOW_DIGEST_PRIME 1099511628211ull

enum {
    OPERATION_LIMIT = 1,  /* good till cancelled */
    OPERATION_TAKE = 2,   /* limit, immediate or cancel */
    OPERATION_CANCEL = 3, /* no price, quantity or side */
    OPERATION_REDUCE = 4  /* in place; quantity_lots is the new total, filled lots included */
};
enum { OPERATION_BUY = 1, OPERATION_SELL = 2 };

typedef struct flow_header {
    char magic[8];
    uint64_t count, preload;
    uint32_t instrument_count, account_count; /* numbers count from 1 */
    uint8_t zero[32];
} flow_header;

typedef struct operation {
    uint64_t id;
    int64_t price_ticks, quantity_lots;
    uint32_t instrument, account;
    uint8_t kind, side;
    uint8_t zero[14];
} operation;

static_assert(sizeof(flow_header) == 64, "the header is 64 bytes");
static_assert(sizeof(operation) == 48, "an operation is 48 bytes");
static_assert(offsetof(operation, kind) == 32, "an operation has no hidden padding");

typedef struct operations {
    const operation *at;
    uint64_t count, preload, id_max;
    uint32_t instrument_count, account_count;
    uint32_t open_max; /* no book ever holds more orders, all instruments together */
} operations;

/* Map the file and check it; ends the program with a sentence if it is none. The mapping stays. */
void operations_open(operations *out, const char *path);

/* What an engine answered to the timed operations. Two engines with one digest made the same fills in one order. */
typedef struct flow_answer {
    uint64_t fills, lots, notional; /* notional: sum of price × lots, modulo 2^64 */
    uint64_t digest;                /* starts at FLOW_DIGEST_START */
} flow_answer;

static inline void flow_answer_fill(flow_answer *a, uint64_t taker, uint64_t maker, int64_t price, int64_t lots) {
    a->fills++;
    a->lots += (uint64_t)lots;
    a->notional += (uint64_t)price * (uint64_t)lots;
    a->digest = (a->digest ^ taker) * FLOW_DIGEST_PRIME;
    a->digest = (a->digest ^ maker) * FLOW_DIGEST_PRIME;
    a->digest = (a->digest ^ (uint64_t)price) * FLOW_DIGEST_PRIME;
    a->digest = (a->digest ^ (uint64_t)lots) * FLOW_DIGEST_PRIME;
}

#endif
