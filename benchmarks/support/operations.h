/* A flow file: operations that every engine under comparison does alike (little-endian, as this machine is).
 *
 *   header 64 B: "IBFLOW01", count, preload, instruments, accounts ─ count × 48 B
 *
 * The first `preload` operations set the stage and are not timed. Ids are of orders, unique, rising from 1; a cancel
 * or a reduce names the order that it is about.
 */
#ifndef IRONBOOK_BENCHMARKS_OPERATIONS_H
#define IRONBOOK_BENCHMARKS_OPERATIONS_H

#include <stdint.h>

enum operation_kind { /* as in the file */
                      OPERATION_LIMIT = 1,
                      OPERATION_TAKE = 2, /* immediate or cancel */
                      OPERATION_CANCEL = 3,
                      OPERATION_REDUCE = 4 /* quantity is the new total; the order keeps its place */
};

typedef struct operation {
    uint64_t id;
    int64_t price_ticks, quantity_lots;
    uint32_t instrument, account;
    uint8_t kind, side;
    uint8_t zero[14];
} operation;
_Static_assert(sizeof(operation) == 48, "as in the file");

typedef struct operations {
    const operation *at;
    uint64_t count, preload, id_max;
    uint32_t instrument_count, account_count;
    uint32_t open_max; /* no book ever holds more orders, all instruments together */
} operations;

/* Map the file and check it; ends the process if it is none. The mapping stays. */
void operations_open(operations *out, const char *path);

#endif
