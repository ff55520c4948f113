/* Section 14: orders that wait until the reference price is at their trigger price. */
#include "state.h"

static bool would_fire(const order *o, int64_t reference) {
    return is_rising(o) ? reference >= o->trigger_price : reference <= o->trigger_price;
}

/* The trigger price of a trailing order follows its peak at a distance. */
static void follow(order *o, int64_t peak) {
    o->peak = peak;
    o->trigger_price = o->side == SIDE_SELL ? (int64_t)plain_most(1, (wide)peak - o->offset)
                                            : (int64_t)plain_least(PRICE_TICKS_MAX, (wide)peak + o->offset);
}

uint16_t plain_check_waiting(const instrument *in, const order *o) {
    if (o->trigger == TRIGGER_TRAILING && in->reference == 0) return CODE_NO_REFERENCE_PRICE;
    if (!waits(o) || o->trigger == TRIGGER_TRAILING) return CODE_NONE;
    return in->reference > 0 && would_fire(o, in->reference) ? CODE_TRIGGER_ALREADY_MET : CODE_NONE;
}

/* A new order goes to its queue. */
void plain_wait(instrument *in, order *o) {
    o->priority = o->id;
    if (o->trigger == TRIGGER_TRAILING) follow(o, in->reference);
    plain_book_insert(in, o);
}

/* The trailing order with the lowest id above `above` whose peak is not the best price any more. */
static order *next_to_trail(const instrument *in, uint64_t above) {
    order *found = NULL;
    for (int list = LIST_RISING; list <= LIST_FALLING; list++) {
        for (order *o = in->lists[list]; o != NULL; o = o->next) {
            if (o->trigger != TRIGGER_TRAILING || o->id <= above) continue;
            if (o->side == SIDE_SELL ? o->peak >= in->reference : o->peak <= in->reference) continue;
            if (found == NULL || o->id < found->id) found = o;
        }
    }
    return found;
}

static void trail(const command *c, instrument *in) {
    for (order *o = next_to_trail(in, 0); o != NULL; o = next_to_trail(in, o->id)) {
        plain_book_remove(in, o);
        follow(o, in->reference);
        o->priority = c->sequence;
        plain_book_insert(in, o);
    }
}

/* From here on it is an order like any other. */
static void fire(plain *book, const command *c, instrument *in, order *o) {
    plain_cancel_partner(book, c, o);
    plain_book_remove(in, o);
    o->trigger = TRIGGER_NONE;
    o->trigger_price = o->peak = o->offset = 0;
    plain_report_order(book, c, o,
                       (wire_report){.kind = EVENT_TRIGGERED,
                                     .price_ticks = o->price,
                                     .quantity_lots = o->rest,
                                     .remaining_lots = o->rest,
                                     .reference = in->trade_id});
    const run r = plain_run_begin(in, o);
    int64_t unused;
    const bool would_take = (o->options & ORDER_OPTION_POST_ONLY) && plain_best_maker(in, o, &r, &unused) != NULL;
    if (would_take) plain_take_off(book, c, o, o->rest, CODE_CANCELLED_WOULD_TAKE, 0);
    plain_finish(book, c, in, o, would_take ? ENDED : plain_take(book, c, in, o));
}

/* Waiting orders fire, one after another, while the reference price says so. */
void plain_fire(plain *book, const command *c, instrument *in, bool opened) {
    for (;;) {
        if (in->state != TRADING_STATE_OPEN || in->reference == 0) return;
        if (!opened && in->traded_at != c->sequence) return;
        trail(c, in);
        order *next = in->lists[LIST_RISING];
        if (next == NULL || !would_fire(next, in->reference)) next = in->lists[LIST_FALLING];
        if (next == NULL || !would_fire(next, in->reference)) return;
        fire(book, c, in, next);
    }
}
