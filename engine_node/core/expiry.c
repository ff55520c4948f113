/* Orders that end by themselves: good till a time, and good for the day (rules.md 13, 16, 17).
 *
 *   expiries:  a binary heap of (expire_ns, id); the one that ends next is on top, a tick takes them one by one
 *              [1]  ── [2] ── [4] …      an extra knows its place (heap_at), so that an order that ends otherwise is
 *                   └─ [3]               taken out in O(log n)
 *   day orders: a list of extras an instrument, by rising id; an order joins it when it enters, with the highest id
 */
#include "internal.h"

/* ---- The heap ---------------------------------------------------------------------------------------------------- */

static inline bool earlier(const expiry *a, const expiry *b) {
    return a->expire_ns != b->expire_ns ? a->expire_ns < b->expire_ns : a->order_id < b->order_id;
}

static inline void put_at(core *c, uint32_t at, expiry e) {
    c->expiries[at] = e;
    c->extras[e.extra].heap_at = at;
}

/* Put e where it belongs on the way from place `at` to the top. */
static void sift_up(core *c, uint32_t at, expiry e) {
    while (at > 1 && earlier(&e, &c->expiries[at / 2])) {
        put_at(c, at, c->expiries[at / 2]);
        at /= 2;
    }
    put_at(c, at, e);
}

/* Put e where it belongs below place `at`, whose own is gone. */
static void sift_down(core *c, uint32_t at, expiry e) {
    for (uint32_t child = 2 * at; child <= c->expiry_count; child = 2 * at) {
        if (child < c->expiry_count && earlier(&c->expiries[child + 1], &c->expiries[child])) child++;
        if (!earlier(&c->expiries[child], &e)) break;
        put_at(c, at, c->expiries[child]);
        at = child;
    }
    put_at(c, at, e);
}

static void expiry_add(core *c, uint32_t extra, uint64_t order_id) {
    INVARIANT(c->expiry_count < c->options.extra_count_max);
    const expiry e = {.expire_ns = c->extras[extra].expire_ns, .order_id = order_id, .extra = extra};
    sift_up(c, ++c->expiry_count, e);
}

static void expiry_remove(core *c, uint32_t extra) {
    const uint32_t at = c->extras[extra].heap_at;
    INVARIANT(at >= 1 && at <= c->expiry_count && c->expiries[at].extra == extra);
    const expiry last = c->expiries[c->expiry_count--];
    c->extras[extra].heap_at = 0;
    if (at > c->expiry_count) return;
    if (at > 1 && earlier(&last, &c->expiries[at / 2])) sift_up(c, at, last);
    else sift_down(c, at, last);
}

/* ---- Day orders -------------------------------------------------------------------------------------------------- */

static void day_append(core *c, uint32_t extra) {
    instrument *i = &c->instruments[c->positions[c->orders[c->extras[extra].order].position].instrument];
    order_extra *x = &c->extras[extra];
    x->day_prev = i->day_last;
    x->day_next = 0;
    if (i->day_last != 0) c->extras[i->day_last].day_next = extra;
    else i->day_first = extra;
    i->day_last = extra;
}

static void day_remove(core *c, uint32_t extra) {
    const order_extra *x = &c->extras[extra];
    instrument *i = &c->instruments[c->positions[c->orders[x->order].position].instrument];
    if (x->day_prev != 0) c->extras[x->day_prev].day_next = x->day_next;
    else i->day_first = x->day_next;
    if (x->day_next != 0) c->extras[x->day_next].day_prev = x->day_prev;
    else i->day_last = x->day_prev;
}

static inline uint64_t day_id(const core *c, uint32_t extra) { return c->orders[c->extras[extra].order].id; }

/* Merge two lists by rising id. Only day_next is kept up. */
static uint32_t day_merge(core *c, uint32_t a, uint32_t b) {
    uint32_t first = 0, *end = &first;
    while (a != 0 && b != 0) {
        uint32_t *lower = day_id(c, a) < day_id(c, b) ? &a : &b;
        *end = *lower;
        end = &c->extras[*lower].day_next;
        *lower = *end;
    }
    *end = a != 0 ? a : b;
    return first;
}

/* A snapshot names orders account by account: put an instrument's list into the order of ids, by merging runs of
 * twice the length each time. */
static void day_sort_one(core *c, instrument *i) {
    uint32_t runs[32] = {0}, next, sorted = 0; /* runs[k]: none, or one of 2^k orders */
    for (uint32_t at = i->day_first; at != 0; at = next) {
        next = c->extras[at].day_next;
        c->extras[at].day_next = 0;
        uint32_t run = at, k = 0;
        for (; runs[k] != 0; runs[k++] = 0) run = day_merge(c, runs[k], run);
        runs[k] = run;
    }
    for (uint32_t k = 0; k < 32; k++) sorted = day_merge(c, runs[k], sorted);
    i->day_first = sorted;
    i->day_last = 0;
    for (uint32_t at = sorted; at != 0; i->day_last = at, at = c->extras[at].day_next)
        c->extras[at].day_prev = i->day_last;
}
static_assert(CORE_POOL_MAX <= 1u << 31, "all day orders are at most one run of each length");

void day_sort(core *c) {
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) day_sort_one(c, &c->instruments[n]);
}

/* ---- An order comes and goes ------------------------------------------------------------------------------------- */

/* Its order has come to stand somewhere for the first time. */
void expiry_enter(core *c, uint32_t extra) {
    const order_extra *x = &c->extras[extra];
    if (x->expire_ns != 0) expiry_add(c, extra, c->orders[x->order].id);
    if ((x->options & TERM_OPTION_DAY) != 0) day_append(c, extra);
}

/* Its order is no longer open. One that never stood anywhere is in neither. */
void expiry_leave(core *c, uint32_t extra) {
    const order_extra *x = &c->extras[extra];
    if (x->heap_at != 0) expiry_remove(c, extra);
    if ((x->options & TERM_OPTION_DAY) != 0) day_remove(c, extra);
}

/* ---- Ending ------------------------------------------------------------------------------------------------------ */

/* Cancel the next order that has expired. False when there is none left. */
bool expiry_step(core *c) {
    if (c->expiry_count == 0 || c->expiries[1].expire_ns > c->received_ns) return false;
    cancel_open(c, c->extras[c->expiries[1].extra].order, CODE_CANCELLED_EXPIRED, 0);
    return true;
}

/* Cancel the next day order of an instrument that closes. False when there is none left. */
bool day_step(core *c, uint32_t instrument_number) {
    const uint32_t extra = c->instruments[instrument_number].day_first;
    if (extra == 0) return false;
    cancel_open(c, c->extras[extra].order, CODE_CANCELLED_SESSION_CLOSED, 0);
    return true;
}

/* ---- Proof ------------------------------------------------------------------------------------------------------- */

const char *expiry_check(const core *c) {
    uint32_t expiring = 0;
    for (uint32_t at = 1; at <= c->expiry_count; at++) {
        const expiry *e = &c->expiries[at];
        const order_extra *x = &c->extras[e->extra];
        if (at > 1 && !earlier(&c->expiries[at / 2], e)) return "what expires first must be nearest to the top";
        if (x->heap_at != at || x->expire_ns != e->expire_ns || c->orders[x->order].id != e->order_id)
            return "an expiry must be that of its order";
    }
    for (uint32_t n = 1; n < c->position_pool.fresh; n++)
        for (uint32_t slot = c->positions[n].first_order; slot != 0; slot = c->rests[slot].next)
            if (c->orders[slot].extra != 0) expiring += c->extras[c->orders[slot].extra].expire_ns != 0;
    if (expiring != c->expiry_count) return "every order that expires must be in the heap";
    return NULL;
}

const char *day_check(const core *c) {
    uint32_t listed = 0, day_orders = 0;
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) {
        uint32_t prev = 0;
        for (uint32_t at = c->instruments[n].day_first; at != 0; prev = at, at = c->extras[at].day_next, listed++) {
            const order_extra *x = &c->extras[at];
            if (x->day_prev != prev || (x->options & TERM_OPTION_DAY) == 0 ||
                c->positions[c->orders[x->order].position].instrument != n)
                return "a day order must be in the list of its instrument";
            if (prev != 0 && c->orders[c->extras[prev].order].id >= c->orders[x->order].id)
                return "the day orders of an instrument must be by rising id";
        }
        if (c->instruments[n].day_last != prev) return "an instrument must know its last day order";
    }
    for (uint32_t n = 1; n < c->position_pool.fresh; n++)
        for (uint32_t slot = c->positions[n].first_order; slot != 0; slot = c->rests[slot].next)
            if (c->orders[slot].extra != 0)
                day_orders += (c->extras[c->orders[slot].extra].options & TERM_OPTION_DAY) != 0;
    if (day_orders != listed) return "every day order must be in its instrument's list";
    return NULL;
}
