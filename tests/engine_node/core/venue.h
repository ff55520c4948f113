/* A small venue for tests of the core: two assets, one instrument, four rich accounts, three keys.
 *
 * Every command goes to two cores: one gives its events in one chunk; the other, the shadow, in the smallest chunks
 * there may be, and now and then it is saved, thrown away and loaded. Both must make the same events and digests, and
 * both are walked (core_check) behind every command. A test says what it expects as text, one event a line:
 *
 *   accepted 7 buy 5@100            client order id 7; price with @
 *   level3 7 add 5@100
 *   book buy 5@100 of 1             one order
 */
#ifndef IRONBOOK_TESTS_CORE_VENUE_H
#define IRONBOOK_TESTS_CORE_VENUE_H

#include "engine_node/core/core.h"

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) venue_fail(__FILE__, __LINE__, #holds);                                                          \
    } while (0)
_Noreturn void venue_fail(const char *file, int line, const char *what);

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        test();                                                                                                        \
        venue_passed(#test);                                                                                           \
    } while (0)
void venue_passed(const char *name);

enum { VENUE_EVENTS = 4096, VENUE_IDS = 1024, VENUE_KEYS = 4 };

typedef struct venue {
    core *c, *shadow;
    void *memory, *shadow_memory;
    core_options options;
    uint64_t client_sequence[VENUE_KEYS], now_ns;
    uint64_t ids[VENUE_IDS]; /* client order id -> order id */
    wire_report events[VENUE_EVENTS];
    uint32_t count, commands;
    uint32_t key; /* who sends; 1 at first */
} venue;

core_options venue_options(void);
void venue_open(venue *v); /* instrument 1 is open; no fees; one unit a lot and a tick */
void venue_open_with(venue *v, core_options options);
void venue_open_firm(venue *v, uint32_t firm); /* accounts 1 and 3 are of this firm */
void venue_close(venue *v);

/* Send a group that ends with `command`; client sequences are filled in. `prefixes`: any, each of 48 bytes. */
core_status venue_try(venue *v, const void *const *prefixes, uint32_t count, void *command);
void venue_send(venue *v, void *command); /* must be recorded */
void venue_send_named(venue *v, const char *name, void *command);
void venue_system(venue *v, uint32_t key, const void *command);
void venue_tick(venue *v, uint64_t now_ns);

/* A limit order good till cancelled, self-trade prevention none, with an account's number and a client order id. */
wire_new_order venue_limit(uint32_t account, uint64_t client_order_id, uint8_t side, int64_t price_ticks, int64_t lots);
void venue_order(venue *v, wire_new_order o);
void venue_order_with(venue *v, const wire_order_terms *terms, const wire_order_link *link, wire_new_order o);
void venue_cancel(venue *v, uint32_t account, uint64_t client_order_id);
wire_new_order venue_mode(wire_new_order o, uint8_t mode); /* with that self-trade prevention */
core_order_info venue_info(const venue *v, uint64_t name); /* it must be open */
void venue_replace(venue *v, uint64_t name, int64_t price_ticks, int64_t lots);
wire_order_link venue_pair(uint64_t client_order_id); /* one_cancels_other with that order */

/* The events of the last command must be these, `top` and `applied` left out; lines end with \n, spaces lead freely. */
#define EXPECT(v, text) venue_expect(v, text, __FILE__, __LINE__)
void venue_expect(const venue *v, const char *text, const char *file, int line);
uint16_t venue_code(const venue *v); /* of the last command's reject; 0 if it was taken */
int64_t venue_locked(const venue *v, uint32_t account, uint32_t asset);

#endif
