/* Orders that wait for the reference price: stops, take-profits, trailing stops (rules.md 14).
 *
 *   reference price 100         rising, fires at or above      103: [#7 stop buy] ⇄ [#9 take-profit sell]   107: …
 *                               falling, fires at or below      98: [#8 stop sell]                          90: …
 *
 * Two more sides of an instrument, on the ladder and the levels of a book, but by trigger price: what fires next is
 * the first order of a best level. Trailing stops stand there too, and in a list by rising id besides, along which they
 * follow the reference price before each firing; there are few of them, so that costs little.
 *
 * Firing is a stage of steps: fire_step makes the next order a taker, which is matched and rests as a new one would be,
 * and rest_step comes back here for as long as an order waits. It keeps its slot, its places in its position and
 * indexes and its extra all the while.
 *
 * What rests when it has fired needs a level of its own, and a trailing stop that follows may too. So room for one
 * level and its ladder nodes is kept free for each order that waits (waiting_levels, waiting_nodes): a command is
 * refused before it begins, not in the middle.
 */
#include "internal.h"

/* ---- Checks ------------------------------------------------------------------------------------------------------ */

static bool met(const instrument *i, bool rising, int64_t trigger_price_ticks) {
    return rising ? i->reference_price_ticks >= trigger_price_ticks : i->reference_price_ticks <= trigger_price_ticks;
}

/* rules.md 14, of an order with a trigger. */
uint16_t check_trigger(const instrument *i, uint8_t side, const wire_order_terms *terms) {
    if (i->reference_price_ticks == 0) return terms->trigger == TRIGGER_TRAILING ? CODE_NO_REFERENCE_PRICE : CODE_NONE;
    if (terms->trigger == TRIGGER_TRAILING) return CODE_NONE;
    return met(i, waits_rising(side, terms->trigger), terms->trigger_price_ticks) ? CODE_TRIGGER_ALREADY_MET
                                                                                  : CODE_NONE;
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

uint32_t waiting_levels(const core *c) { return c->waiting_orders; }

/* A level's own path through a ladder is CORE_LADDER_DEPTH nodes at most, and each side may grow by as many once. */
uint32_t waiting_nodes(const core *c) {
    return CORE_LADDER_DEPTH * (c->waiting_orders + SIDES_COUNT * c->waiting_instruments);
}

void waiting_entered(core *c, instrument *i) {
    c->waiting_orders++;
    if (i->waiting_orders++ == 0) c->waiting_instruments++;
}

void waiting_left(core *c, instrument *i) {
    c->waiting_orders--;
    if (--i->waiting_orders == 0) c->waiting_instruments--;
}

/* ---- Trailing stops ---------------------------------------------------------------------------------------------- */

static void trail_set(order_extra *x, uint8_t side, int64_t peak_ticks) {
    x->peak_ticks = peak_ticks;
    if (side == SIDE_SELL) x->trigger_price_ticks = peak_ticks > x->offset_ticks ? peak_ticks - x->offset_ticks : 1;
    else
        x->trigger_price_ticks =
            peak_ticks < PRICE_TICKS_MAX - x->offset_ticks ? peak_ticks + x->offset_ticks : PRICE_TICKS_MAX;
}

static instrument *instrument_of(core *c, uint32_t slot) {
    return &c->instruments[c->positions[c->orders[slot].position].instrument];
}

/* Its order has come to stand in the queue; its id is the highest, except when a snapshot is loaded. */
void trail_enter(core *c, uint32_t extra) {
    order_extra *x = &c->extras[extra];
    instrument *i = instrument_of(c, x->order);
    uint32_t before = i->trail_last;
    while (before != 0 && c->orders[c->extras[before].order].id > c->orders[x->order].id)
        before = c->extras[before].trail_prev;
    x->trail_prev = before;
    x->trail_next = before != 0 ? c->extras[before].trail_next : i->trail_first;
    if (before != 0) c->extras[before].trail_next = extra;
    else i->trail_first = extra;
    if (x->trail_next != 0) c->extras[x->trail_next].trail_prev = extra;
    else i->trail_last = extra;
    i->trail_count[c->orders[x->order].side - 1]++;
}

void trail_leave(core *c, uint32_t extra) {
    const order_extra *x = &c->extras[extra];
    instrument *i = instrument_of(c, x->order);
    if (x->trail_prev != 0) c->extras[x->trail_prev].trail_next = x->trail_next;
    else i->trail_first = x->trail_next;
    if (x->trail_next != 0) c->extras[x->trail_next].trail_prev = x->trail_prev;
    else i->trail_last = x->trail_prev;
    i->trail_count[c->orders[x->order].side - 1]--;
}

/* Out of its queue, whose level goes if it was the last. */
static void leave_queue(core *c, uint32_t slot) {
    const uint32_t level = c->orders[slot].level, index = side_index(c, &c->orders[slot]);
    order_dequeue(c, slot);
    if (c->levels[level].order_count == 0) level_drop(c, &instrument_of(c, slot)->sides[index], level);
}

/* The reference price has left a peak behind: the trailing stop follows, to the back of its new trigger price. */
static void follow(core *c, uint32_t slot, int64_t reference_price_ticks) {
    order_extra *x = &c->extras[c->orders[slot].extra];
    c->digest -= order_digest(c, slot);
    leave_queue(c, slot);
    trail_set(x, c->orders[slot].side, reference_price_ticks);
    c->rests[slot].priority = c->sequence;
    order_enqueue(c, slot, x->trigger_price_ticks);
    c->digest += order_digest(c, slot);
}

static void follow_all(core *c, const instrument *i) {
    const int64_t reference = i->reference_price_ticks;
    for (uint32_t extra = i->trail_first; extra != 0; extra = c->extras[extra].trail_next) {
        const uint32_t slot = c->extras[extra].order;
        const int64_t peak_ticks = c->extras[extra].peak_ticks;
        if (c->orders[slot].side == SIDE_SELL ? peak_ticks < reference : peak_ticks > reference)
            follow(c, slot, reference);
    }
}

/* ---- Coming to wait ---------------------------------------------------------------------------------------------- */

/* The taker is a new order with a trigger: it waits. */
void wait_enter(core *c) {
    taker *t = &c->run.taker;
    order_extra *x = &c->extras[t->extra];
    const instrument *i = &c->instruments[c->positions[t->position].instrument];
    if (x->trigger == TRIGGER_TRAILING) trail_set(x, t->side, i->reference_price_ticks);
    const uint32_t slot = rest_in_slot(c, t);
    order_enqueue(c, slot, x->trigger_price_ticks);
    c->digest += order_digest(c, slot);
}

/* ---- Firing ------------------------------------------------------------------------------------------------------ */

/* An instrument has traded, or has just opened: what waits may fire, until none does. Goes on to run.then. */
void fire_start(core *c, uint32_t instrument_number) {
    c->run.fire_instrument = instrument_number;
    c->run.stage = RUN_FIRE;
}

/* The run of a taker has ended in an instrument where orders wait, or the last of those that fired has. */
void run_ended(core *c) {
    run *r = &c->run;
    r->answers_other = false; /* the answer to a replacement has been given; what fires is none */
    if (r->fire_instrument != 0 || r->taker.notional_units > 0)
        fire_start(c, c->positions[r->taker.position].instrument);
}

/* The order that fires next, 0 if none does. */
static uint32_t due(const core *c, const instrument *i) {
    const uint32_t rising = i->sides[SIDES_RISING].best, falling = i->sides[SIDES_FALLING].best;
    if (rising != 0 && met(i, true, c->levels[rising].price_ticks)) return c->levels[rising].head;
    if (falling != 0 && met(i, false, c->levels[falling].price_ticks)) return c->levels[falling].head;
    return 0;
}

/* Where it stands from now on is said by its terms; that it waited is forgotten (rules.md 14). */
static void forget_trigger(core *c, uint32_t extra) {
    order_extra *x = &c->extras[extra];
    if (x->trigger == TRIGGER_TRAILING) trail_leave(c, extra);
    x->place = (x->options & TERM_OPTION_HIDDEN) != 0 ? PLACE_HIDDEN : PLACE_DISPLAYED;
    x->trigger = TRIGGER_NONE;
    x->order_type = x->time_in_force = 0;
    x->trigger_price_ticks = x->peak_ticks = 0;
    x->offset_ticks = 0;
}

/* Out of the queue, and a taker. */
static void become_taker(core *c, uint32_t slot) {
    book_order *b = &c->orders[slot];
    const order_extra *x = &c->extras[b->extra];
    c->digest -= order_digest(c, slot);
    leave_queue(c, slot);
    c->run.taker = (taker){.order_id = b->id,
                           .client_order_id = b->client_order_id,
                           .price_ticks = x->price_ticks,
                           .reach_ticks = x->price_ticks,
                           .rest_lots = b->rest_lots,
                           .filled_lots = b->filled_lots,
                           .lock_units = c->rests[slot].lock_units,
                           .position = b->position,
                           .slot = slot,
                           .extra = b->extra,
                           .rest_code = CODE_CANCELLED_UNFILLED,
                           .order_type = x->order_type,
                           .maker_fee_ppm = b->maker_fee_ppm,
                           .taker_fee_ppm = b->taker_fee_ppm,
                           .key = b->key,
                           .side = b->side,
                           .options = b->options,
                           .self_trade_prevention = b->self_trade_prevention,
                           .time_in_force = x->time_in_force};
    forget_trigger(c, b->extra);
}

/* Let the next order fire, or end the stage. */
void fire_step(core *c) {
    run *r = &c->run;
    instrument *i = &c->instruments[r->fire_instrument];
    uint32_t slot = 0;
    if (i->waiting_orders != 0 && i->trading_state == TRADING_STATE_OPEN && i->reference_price_ticks > 0) {
        follow_all(c, i);
        slot = due(c, i);
    }
    if (slot == 0) {
        r->fire_instrument = 0;
        r->stage = r->then;
        return;
    }
    link_resolve_open(c, slot);
    become_taker(c, slot);
    taker *t = &r->taker;
    put_taker_report(c, EVENT_TRIGGERED, CODE_NONE, t->price_ticks, t->rest_lots, i->trade_id, 0);
    if (i->unseen_orders[t->side == SIDE_BUY] != 0) taker_touch(c, i, t);
    if ((t->options & ORDER_OPTION_POST_ONLY) != 0 && maker_for(c, i, t).slot != 0)
        taker_end(c, CODE_CANCELLED_WOULD_TAKE);
    else match_begin(c);
}

/* ---- Proof ------------------------------------------------------------------------------------------------------- */

static const char *trail_check(const core *c, const instrument *i) {
    uint32_t prev = 0, count[2] = {0};
    for (uint32_t at = i->trail_first; at != 0; prev = at, at = c->extras[at].trail_next) {
        const order_extra *x = &c->extras[at];
        const book_order *b = &c->orders[x->order];
        if (x->trail_prev != prev || x->trigger != TRIGGER_TRAILING || b->extra != at)
            return "the list of trailing stops must hold trailing stops, linked both ways";
        if (prev != 0 && c->orders[c->extras[prev].order].id >= b->id) return "trailing stops must be by rising id";
        order_extra expected = *x;
        trail_set(&expected, b->side, x->peak_ticks);
        if (expected.trigger_price_ticks != x->trigger_price_ticks)
            return "a trailing stop's trigger price must be made of its peak";
        count[b->side - 1]++;
    }
    if (i->trail_last != prev || count[0] != i->trail_count[0] || count[1] != i->trail_count[1])
        return "an instrument must count its trailing stops";
    return count[0] <= TRAILING_ORDERS_MAX && count[1] <= TRAILING_ORDERS_MAX
               ? NULL
               : "trailing stops of a side must be no more than their limit";
}

const char *waiting_check(const core *c) {
    uint32_t orders = 0, instruments = 0;
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) {
        const instrument *i = &c->instruments[n];
        uint32_t waiting = 0, trailing = 0;
        for (uint32_t index = SIDES_FALLING; index <= SIDES_RISING; index++)
            for (uint32_t l = i->sides[index].best; l != 0; l = c->levels[l].worse)
                for (uint32_t slot = c->levels[l].head; slot != 0; slot = c->orders[slot].next, waiting++) {
                    const order_extra *x = &c->extras[c->orders[slot].extra];
                    if (x->trigger_price_ticks != c->levels[l].price_ticks)
                        return "an order must wait at its trigger price";
                    trailing += x->trigger == TRIGGER_TRAILING;
                }
        if (waiting != i->waiting_orders) return "an instrument must count the orders that wait";
        if (trailing != i->trail_count[0] + i->trail_count[1]) return "every trailing stop must be in the list";
        const char *wrong = trail_check(c, i);
        if (wrong != NULL) return wrong;
        orders += waiting;
        instruments += waiting != 0;
    }
    if (orders != c->waiting_orders || instruments != c->waiting_instruments) return "the core must count what waits";
    return pool_room(&c->level_pool) >= waiting_levels(c) && pool_room(&c->ladder_pool) >= waiting_nodes(c)
               ? NULL
               : "there must be room for what waits to rest";
}
