/* What happens in the book: matching, resting, cancelling (rules.md 4 to 8).
 *
 *   taker buy 9 @ 101       asks   100: [#7 5] ⇄ [#9 2]        trade #7 5, trade #9 2, level 100 done: book_update
 *                                  101: [#8 4]                 trade #8 2, taker done:  book_update
 *
 * A command runs in steps, each of which makes a handful of events at most: match_step takes one maker, rest_step
 * puts the rest into the book or cancels it, sweep_step cancels one order of many. Between steps the chunk may be
 * handed out; all that a step needs to go on is in core.run.
 */
#include "internal.h"

static inline position *position_at(core *c, uint32_t slot) { return &c->positions[slot]; }
static inline uint8_t sell_flag(uint8_t side) { return side == SIDE_SELL ? REPORT_FLAG_SELL : 0; }

/* ---- Finding and linking orders ---------------------------------------------------------------------------------- */

uint32_t order_find(const core *c, uint64_t order_id) {
    const uint64_t hash = order_hash(order_id);
    index_search at = index_start(&c->order_index, hash);
    for (uint32_t slot; (slot = index_next(&c->order_index, hash, &at)) != 0;)
        if (c->orders[slot].id == order_id) return slot;
    return 0;
}

uint32_t order_find_client(const core *c, uint32_t account_number, uint64_t client_order_id) {
    return order_find_hashed(c, client_hash(c, account_number, client_order_id), account_number, client_order_id);
}

uint32_t order_find_hashed(const core *c, uint64_t hash, uint32_t account_number, uint64_t client_order_id) {
    index_search at = index_start(&c->client_index, hash);
    for (uint32_t slot; (slot = index_next(&c->client_index, hash, &at)) != 0;) {
        const book_order *b = &c->orders[slot];
        if (b->client_order_id == client_order_id && c->positions[b->position].account == account_number) return slot;
    }
    return 0;
}

/* The term of a resting order in the digest. */
uint64_t order_digest(const core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    const order_rest *r = &c->rests[slot];
    const position *p = &c->positions[b->position];
    const uint64_t sum = mix(1) * p->account + mix(2) * p->instrument + mix(3) * b->side +
                         mix(4) * (uint64_t)order_price(c, b) + mix(5) * (uint64_t)b->rest_lots +
                         mix(6) * (uint64_t)b->filled_lots + mix(7) * b->client_order_id + mix(8) * r->priority +
                         mix(9) * (uint64_t)r->lock_units + mix(10) * (uint64_t)r->maker_notional_units +
                         mix(11) * (uint64_t)(int64_t)b->maker_fee_ppm + mix(12) * (uint64_t)(int64_t)b->taker_fee_ppm +
                         mix(13) * b->options + mix(14) * b->self_trade_prevention + mix(15) * b->key;
    const uint64_t term = entity_key(TAG_ORDER, b->id, 0) * sum;
    return LIKELY(b->extra == 0) ? term : term + extra_digest(c, b);
}

/* At the back of a level that is there. */
static void level_append(core *c, uint32_t slot, uint32_t level) {
    book_order *b = &c->orders[slot];
    book_level *l = &c->levels[level];
    const int64_t reserve_lots = reserve_of(c, b);
    b->level = level;
    b->next = 0;
    b->prev = l->tail;
    uint32_t *before = l->tail != 0 ? &c->orders[l->tail].next : &l->head;
    *before = slot;
    l->tail = slot;
    l->order_count++;
    l->quantity_lots += b->rest_lots - reserve_lots;
    l->reserve_lots += reserve_lots;
}

/* Put an order that is filled in but for its level at the back of the queue at that price (of one that waits: its
 * trigger price) of the side it stands in, or of the list of unlit ones. */
void order_enqueue(core *c, uint32_t slot, int64_t price_ticks) {
    const book_order *b = &c->orders[slot];
    instrument *i = &c->instruments[position_at(c, b->position)->instrument];
    const uint32_t index = side_index(c, b);
    if (UNLIKELY(index >= SIDES_HIDDEN)) {
        i->unseen_orders[b->side - 1] += is_unseen(index);
        if (index == SIDES_COUNT) {
            unlit_append(c, i, slot);
            return;
        }
        if (index >= SIDES_FALLING) waiting_entered(c, i);
    }
    uint32_t level = level_find(c, &i->sides[index], price_ticks);
    if (level == 0) level = level_make(c, &i->sides[index], side_order(index), price_ticks);
    level_append(c, slot, level);
}

/* Take an order out of its queue. Its level stays, even if it is empty now. */
void order_dequeue(core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    if (UNLIKELY(b->extra != 0)) {
        instrument *i = &c->instruments[position_at(c, b->position)->instrument];
        const uint32_t index = side_index(c, b);
        i->unseen_orders[b->side - 1] -= is_unseen(index);
        if (index == SIDES_COUNT) {
            unlit_remove(c, i, slot);
            return;
        }
        if (index >= SIDES_FALLING) waiting_left(c, i);
    }
    book_level *l = &c->levels[b->level];
    /* chosen, not branched: whether an order has neighbours can't be predicted */
    uint32_t *before = b->prev != 0 ? &c->orders[b->prev].next : &l->head;
    uint32_t *behind = b->next != 0 ? &c->orders[b->next].prev : &l->tail;
    *before = b->next;
    *behind = b->prev;
    const int64_t reserve_lots = reserve_of(c, b);
    l->order_count--;
    l->quantity_lots -= b->rest_lots - reserve_lots;
    l->reserve_lots -= reserve_lots;
}

/* An extra joins the lists that its terms name when its order comes to stand for the first time ... */
static void extra_enter(core *c, uint32_t extra) {
    const order_extra *x = &c->extras[extra];
    expiry_enter(c, extra);
    if (x->trigger == TRIGGER_TRAILING) trail_enter(c, extra);
    if (x->linked != 0) link_tie(c, x->order);
}

/* ... and leaves them with it. It is not linked any more. */
static void extra_leave(core *c, uint32_t extra) {
    INVARIANT(c->extras[extra].linked == 0);
    expiry_leave(c, extra);
    if (c->extras[extra].trigger == TRIGGER_TRAILING) trail_leave(c, extra);
    extra_drop(c, extra);
}

/* The order is no longer open: out of its position's list, both indexes and the pool. Out of its queue, untied and its
 * lock freed before. */
void order_forget(core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    const order_rest *r = &c->rests[slot];
    position *p = position_at(c, b->position);
    uint32_t *before = r->prev != 0 ? &c->rests[r->prev].next : &p->first_order;
    uint32_t *behind = r->next != 0 ? &c->rests[r->next].prev : &p->last_order;
    *before = r->next;
    *behind = r->prev;
    c->accounts[p->account].open_orders--;
    const lookup *l = lookup_now(c);
    const bool known = l->order_id == b->id && l->account == p->account;
    index_remove(&c->order_index, known ? l->order_home : order_hash(b->id), slot);
    if (b->client_order_id != 0)
        index_remove(&c->client_index, known ? l->client_home : client_hash(c, p->account, b->client_order_id), slot);
    if (UNLIKELY(b->extra != 0)) extra_leave(c, b->extra);
    pool_give(&c->order_pool, c->orders, sizeof(book_order), slot);
}

static void lock_release(core *c, const position *p, uint8_t side, int64_t units) {
    balance_add(c, side == SIDE_BUY ? p->quote_balance : p->base_balance, units, -units);
}

/* Report the new total of a displayed level, and drop any level of which nothing is left. index: of its side; there
 * is no level where unlit orders are. */
void level_changed(core *c, const position *p, uint32_t index, uint32_t level) {
    if (LIKELY(index < SIDES_HIDDEN)) put_book_update(c, p, (uint8_t)(index + 1), level);
    else if (index == SIDES_COUNT) return;
    if (c->levels[level].order_count == 0) level_drop(c, &c->instruments[p->instrument].sides[index], level);
}

/* An iceberg that has shown all shows anew, behind the others of its level. */
static bool show_anew(core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    order_extra *x = &c->extras[b->extra];
    if (x->reserve_lots == 0 || b->rest_lots > x->reserve_lots) return false;
    const uint32_t level = b->level;
    order_dequeue(c, slot);
    x->reserve_lots = b->rest_lots > x->display_lots ? b->rest_lots - x->display_lots : 0;
    level_append(c, slot, level);
    c->rests[slot].priority = c->sequence;
    return true;
}

/* Take lots off what an order shows; some of it is left. True if it shows anew. */
bool show_less(core *c, uint32_t slot, int64_t lots) {
    book_order *b = &c->orders[slot];
    b->rest_lots -= lots;
    if (UNLIKELY(b->level == 0)) return false;
    c->levels[b->level].quantity_lots -= lots;
    return UNLIKELY(b->extra != 0) && show_anew(c, slot);
}

/* What the book says of an order of which something was taken. index: of the side it stands (or stood) in. */
void put_less(core *c, const position *p, const book_order *b, uint32_t index, int64_t price_ticks, bool done,
              bool anew) {
    if (UNLIKELY(index >= SIDES_HIDDEN)) return;
    const int64_t shown_lots = done ? 0 : b->rest_lots - reserve_of(c, b);
    if (UNLIKELY(anew)) {
        put_level3(c, p, b->id, b->side, price_ticks, 0, LEVEL3_ACTION_REMOVE);
        put_level3(c, p, b->id, b->side, price_ticks, shown_lots, LEVEL3_ACTION_ADD);
    } else {
        put_level3(c, p, b->id, b->side, price_ticks, shown_lots, done ? LEVEL3_ACTION_REMOVE : LEVEL3_ACTION_CHANGE);
    }
}

/* ---- Cancelling -------------------------------------------------------------------------------------------------- */

/* The same, quicker for a plain order. */
static inline void put_taken(core *c, const position *p, const book_order *b, uint32_t index, int64_t price_ticks,
                             bool done, bool anew) {
    if (UNLIKELY(b->extra != 0)) put_less(c, p, b, index, price_ticks, done, anew);
    else
        put_level3(c, p, b->id, b->side, price_ticks, b->rest_lots, done ? LEVEL3_ACTION_REMOVE : LEVEL3_ACTION_CHANGE);
}

/* Take `lots` off an open order: report, level 3, lock and lists. What it leaves of its level is the caller's. */
static void reduce_resting(core *c, uint32_t slot, int64_t lots, uint16_t code, uint64_t reference) {
    book_order *b = &c->orders[slot];
    order_rest *r = &c->rests[slot];
    position *p = position_at(c, b->position);
    const instrument *i = &c->instruments[p->instrument];
    const int64_t price_ticks = order_price(c, b);
    const uint32_t index = side_index(c, b);
    const bool done = lots == b->rest_lots;
    bool anew = false;
    c->digest -= order_digest(c, slot);
    open_lots_add(c, p, b->side, -lots);
    if (done) {
        order_dequeue(c, slot);
        lock_release(c, p, b->side, r->lock_units);
        b->rest_lots = 0;
    } else {
        anew = show_less(c, slot, lots);
        const int64_t need = link_need(
            c, linked_with(c, b), lock_for(i, b->side, price_ticks, b->rest_lots, b->maker_fee_ppm, b->taker_fee_ppm));
        if (need < r->lock_units) {
            lock_release(c, p, b->side, r->lock_units - need);
            r->lock_units = need;
        }
        c->digest += order_digest(c, slot);
    }
    put_report(c, b->key,
               (wire_report){.kind = EVENT_CANCELLED,
                             .flags = sell_flag(b->side) | (done ? REPORT_FLAG_DONE : 0),
                             .code = code,
                             .instrument = p->instrument,
                             .account = p->account,
                             .order_id = b->id,
                             .client_order_id = b->client_order_id,
                             .price_ticks = price_ticks,
                             .quantity_lots = lots,
                             .remaining_lots = b->rest_lots,
                             .reference = reference});
    put_taken(c, p, b, index, price_ticks, done, anew);
    if (done) order_forget(c, slot);
}

/* Cancel an open order whole, its book_update included, and behind it what it is linked with. */
void cancel_open(core *c, uint32_t slot, uint16_t code, uint64_t reference) {
    const book_order *b = &c->orders[slot];
    const uint32_t partner = LIKELY(b->extra == 0) ? 0 : link_cut(c, slot);
    const uint32_t level = b->level, owner = b->position, index = side_index(c, b);
    reduce_resting(c, slot, b->rest_lots, code, reference);
    if (LIKELY(level != c->run.level) || index >= SIDES_HIDDEN) level_changed(c, position_at(c, owner), index, level);
    if (UNLIKELY(partner != 0)) link_cancel(c, partner);
}

/* Cancel an open order for the sender of this command. True if its key entered it. */
static bool cancel_as_asked(core *c, uint32_t slot) {
    const bool own = c->orders[slot].key == c->run.key;
    cancel_open(c, slot, CODE_CANCELLED_BY_REQUEST, own ? c->run.client_sequence : 0);
    return own;
}

void do_cancel(core *c, const wire_cancel *o) {
    uint32_t slot = 0;
    uint16_t code = CODE_MALFORMED;
    if (o->flags == 0 && all_zero(o->zero, sizeof o->zero))
        code = check_named_order(c, o->account, o->instrument, o->order_id, o->target_client_order_id, &slot);
    if (code != CODE_NONE) {
        put_reject(c, (const wire_header *)o, code);
        return;
    }
    const uint64_t order_id = c->orders[slot].id;
    if (!cancel_as_asked(c, slot)) put_applied(c, o->account, o->instrument, order_id, o->client_order_id, 1);
}

/* ---- Sweeps: a mass cancel, or what a lost session leaves -------------------------------------------------------- */

void sweep_start(core *c, uint32_t account_number, uint32_t instrument_number, uint32_t key, uint8_t side,
                 uint8_t code) {
    run *r = &c->run;
    r->stage = RUN_SWEEP;
    r->sweep_position = c->accounts[account_number].first_position;
    r->sweep_order = r->sweep_position == 0 ? 0 : c->positions[r->sweep_position].first_order;
    r->sweep_account = account_number;
    r->sweep_instrument = instrument_number;
    r->sweep_key = key;
    r->sweep_side = side;
    r->sweep_code = code;
    r->sweep_count = 0;
    if (instrument_number != 0) {
        r->sweep_position = position_find(c, account_number, instrument_number);
        r->sweep_order = r->sweep_position == 0 ? 0 : c->positions[r->sweep_position].first_order;
    }
}

/* Cancel the next order of the sweep. False when there is none left. */
bool sweep_step(core *c) {
    run *r = &c->run;
    while (r->sweep_position != 0) {
        if (r->sweep_order == 0) {
            r->sweep_position = r->sweep_instrument != 0 ? 0 : c->positions[r->sweep_position].next;
            if (r->sweep_position != 0) r->sweep_order = c->positions[r->sweep_position].first_order;
            continue;
        }
        const uint32_t slot = r->sweep_order;
        r->sweep_order = c->rests[slot].next;
        const book_order *b = &c->orders[slot];
        if ((r->sweep_side != 0 && b->side != r->sweep_side) || (r->sweep_key != 0 && b->key != r->sweep_key)) continue;
        cancel_open(c, slot, r->sweep_code, 0);
        r->sweep_count++;
        return true;
    }
    if (r->sweep_answers)
        put_applied(c, r->sweep_account, r->sweep_instrument, 0, r->sweep_client_order_id, r->sweep_count);
    r->stage = r->then;
    return false;
}

void do_mass_cancel(core *c, const wire_mass_cancel *o) {
    uint16_t code = CODE_NONE;
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero) || !all_zero(o->zero2, sizeof o->zero2) ||
        o->side > SIDE_SELL)
        code = CODE_MALFORMED;
    else if (!account_known(c, o->account)) code = CODE_UNKNOWN_ACCOUNT;
    else if (o->instrument != 0 && !instrument_known(c, o->instrument)) code = CODE_UNKNOWN_INSTRUMENT;
    if (code != CODE_NONE) {
        put_reject(c, (const wire_header *)o, code);
        return;
    }
    sweep_start(c, o->account, o->instrument, 0, o->side, CODE_CANCELLED_BY_MASS_CANCEL);
    c->run.sweep_answers = true;
    c->run.sweep_client_order_id = o->client_order_id;
}

/* ---- Matching ---------------------------------------------------------------------------------------------------- */

/* A report on the taker: what is particular to it, the rest from the taker itself. */
void put_taker_report(core *c, uint8_t kind, uint16_t code, int64_t price_ticks, int64_t lots, uint64_t reference,
                      int64_t amount_units) {
    const taker *t = &c->run.taker;
    const position *p = position_at(c, t->position);
    put_report(c, t->key,
               (wire_report){.kind = kind,
                             .flags = sell_flag(t->side) | (t->rest_lots == 0 ? REPORT_FLAG_DONE : 0),
                             .code = code,
                             .instrument = p->instrument,
                             .account = p->account,
                             .order_id = t->order_id,
                             .client_order_id = t->client_order_id,
                             .price_ticks = price_ticks,
                             .quantity_lots = lots,
                             .remaining_lots = t->rest_lots,
                             .reference = reference,
                             .amount_units = amount_units});
}

/* Take `lots` off the taker unfilled; its lock follows. */
static void reduce_taker(core *c, int64_t lots, uint16_t code) {
    taker *t = &c->run.taker;
    position *p = position_at(c, t->position);
    open_lots_add(c, p, t->side, -lots);
    t->rest_lots -= lots;
    int64_t need = taker_need(&c->instruments[p->instrument], t);
    if (UNLIKELY(t->extra != 0) && t->rest_lots > 0) need = link_need(c, c->extras[t->extra].linked, need);
    if (need < t->lock_units) {
        lock_release(c, p, t->side, t->lock_units - need);
        t->lock_units = need;
    }
    put_taker_report(c, EVENT_CANCELLED, code, t->price_ticks, lots, 0, 0);
    if (UNLIKELY(t->extra != 0) && t->rest_lots == 0) link_resolve_taker(c);
}

/* The taker ends without having been matched. */
void taker_end(core *c, uint16_t code) {
    reduce_taker(c, c->run.taker.rest_lots, code);
    c->run.stage = RUN_REST;
}

/* Self-trade prevention takes lots off a maker; with all of it goes what it is linked with. A displayed level is left
 * by the taker; any other before the partner goes, who may be the last that stands there. */
static void reduce_maker(core *c, uint32_t maker, int64_t lots) {
    const book_order *b = &c->orders[maker];
    const uint32_t level = b->level, owner = b->position, index = side_index(c, b);
    const uint32_t partner = b->extra != 0 && lots == b->rest_lots ? link_cut(c, maker) : 0;
    if (LIKELY(index < SIDES_HIDDEN)) c->run.level = level;
    reduce_resting(c, maker, lots, CODE_CANCELLED_SELF_TRADE, 0);
    if (UNLIKELY(index >= SIDES_HIDDEN)) level_changed(c, position_at(c, owner), index, level);
    if (partner != 0) link_cancel(c, partner);
}

static void prevent_self_trade(core *c, uint32_t maker) {
    taker *t = &c->run.taker;
    const book_order *b = &c->orders[maker];
    switch (t->self_trade_prevention) {
    case SELF_TRADE_PREVENTION_CANCEL_MAKER: reduce_maker(c, maker, b->rest_lots); break;
    case SELF_TRADE_PREVENTION_CANCEL_BOTH:
        reduce_maker(c, maker, b->rest_lots);
        reduce_taker(c, t->rest_lots, CODE_CANCELLED_SELF_TRADE);
        break;
    case SELF_TRADE_PREVENTION_DECREMENT: {
        const int64_t shown = b->rest_lots - reserve_of(c, b), lots = shown < t->rest_lots ? shown : t->rest_lots;
        reduce_maker(c, maker, lots);
        reduce_taker(c, lots, CODE_CANCELLED_SELF_TRADE);
        break;
    }
    default: INVARIANT(false && "cancel_taker is handled before");
    }
}

static void put_trade(core *c, uint64_t maker_order_id, uint32_t number, const fill *f, uint64_t trade_id) {
    const taker *t = &c->run.taker;
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_TRADE,
                             .flags = sell_flag(t->side),
                             .instrument = number,
                             .order_id = maker_order_id,
                             .client_order_id = t->order_id,
                             .price_ticks = f->price_ticks,
                             .quantity_lots = f->quantity_lots,
                             .reference = trade_id});
}

static void put_fill_reports(core *c, const book_order *b, const position *mp, const fill *f, uint64_t trade_id) {
    put_trade(c, b->id, mp->instrument, f, trade_id);
    put_report(
        c, b->key,
        (wire_report){.kind = EVENT_FILLED,
                      .flags = sell_flag(b->side) | REPORT_FLAG_MAKER | (b->rest_lots == 0 ? REPORT_FLAG_DONE : 0),
                      .instrument = mp->instrument,
                      .account = mp->account,
                      .order_id = b->id,
                      .client_order_id = b->client_order_id,
                      .price_ticks = f->price_ticks,
                      .quantity_lots = f->quantity_lots,
                      .remaining_lots = b->rest_lots,
                      .reference = trade_id,
                      .amount_units = f->maker_fee_units});
    put_taker_report(c, EVENT_FILLED, CODE_NONE, f->price_ticks, f->quantity_lots, trade_id, f->taker_fee_units);
}

/* The most that is left of a market_by_quote order's amount at this price. */
static int64_t affordable(const instrument *i, const taker *t, int64_t price_ticks) {
    const unsigned __int128 each = (unsigned __int128)price_ticks * i->quote_units_per_tick_lot;
    const unsigned __int128 lots = (unsigned __int128)t->amount_left_units / each;
    return lots < (unsigned __int128)t->rest_lots ? (int64_t)lots : t->rest_lots;
}

/* An unlit maker may trade at better prices than its own, so what its entry has traded in all may outgrow a number. */
static void entries_fit(order_rest *r, taker *t, int64_t notional_units) {
    if (r->maker_notional_units > UNITS_MAX - notional_units) r->maker_notional_units = 0;
    if (t->notional_units > UNITS_MAX - notional_units) t->notional_units = 0;
}

/* Trade with one maker, as far as both go; the taker at most so many lots. */
static void trade(core *c, maker m, int64_t most_lots) {
    taker *t = &c->run.taker;
    book_order *b = &c->orders[m.slot];
    order_rest *r = &c->rests[m.slot];
    const position *mp = position_at(c, b->position);
    instrument *i = &c->instruments[mp->instrument];
    if (UNLIKELY((b->extra | t->extra) != 0)) link_resolve(c, m.slot);
    const uint32_t level = b->level, index = side_index(c, b);
    const int64_t shown_lots = b->rest_lots - reserve_of(c, b);
    fill f = {.quantity_lots = shown_lots < most_lots ? shown_lots : most_lots,
              .price_ticks = m.price_ticks,
              .maker_price_ticks = order_price(c, b)};
    INVARIANT(notional_of(i, f.price_ticks, f.quantity_lots, &f.notional_units));
    const int64_t lock_units = r->lock_units;
    const bool done = f.quantity_lots == b->rest_lots, plain = LIKELY(b->extra == 0);
    bool anew = false;
    if (done || !plain) c->digest -= order_digest(c, m.slot);
    if (LIKELY(index < SIDES_HIDDEN)) c->run.level = level;
    else if (index == SIDES_COUNT) entries_fit(r, t, f.notional_units);
    fill_fees(b, r, t, &f);
    if (done) {
        order_dequeue(c, m.slot);
        b->rest_lots = 0;
    } else {
        anew = show_less(c, m.slot, f.quantity_lots);
    }
    b->filled_lots += f.quantity_lots;
    t->rest_lots -= f.quantity_lots;
    t->filled_lots += f.quantity_lots;
    t->amount_left_units -= f.notional_units;
    settle(c, i, b, r, t, &f);
    r->maker_notional_units += f.notional_units;
    t->notional_units += f.notional_units;
    if (!done && plain)
        c->digest += entity_key(TAG_ORDER, b->id, 0) *
                     ((mix(6) - mix(5)) * (uint64_t)f.quantity_lots + mix(9) * (uint64_t)(r->lock_units - lock_units) +
                      mix(10) * (uint64_t)f.notional_units);
    else if (!done) c->digest += order_digest(c, m.slot);
    i->trade_id++;
    DIGEST_ADD(c, i, 14, 1);
    DIGEST_ADD(c, i, 13, f.price_ticks - i->reference_price_ticks);
    i->reference_price_ticks = f.price_ticks;
    if (UNLIKELY(i->static_price_ticks == 0)) static_price_set(c, i, f.price_ticks);
    const position *tp = position_at(c, t->position);
    if (t->side == SIDE_BUY) trade_keep(c, tp, mp, i->trade_id, &f, f.taker_fee_units, f.maker_fee_units);
    else trade_keep(c, mp, tp, i->trade_id, &f, f.maker_fee_units, f.taker_fee_units);
    put_fill_reports(c, b, mp, &f, i->trade_id);
    put_taken(c, mp, b, index, f.price_ticks, done, anew);
    if (done) order_forget(c, m.slot);
    if (UNLIKELY(index >= SIDES_HIDDEN)) level_changed(c, mp, index, level);
}

/* The level last worked on is left: say what became of it. */
static void leave_level(core *c) {
    if (c->run.level == 0) return;
    const taker *t = &c->run.taker;
    level_changed(c, position_at(c, t->position), t->side == SIDE_BUY, c->run.level);
    c->run.level = 0;
}

/* Matching has ended: what is left of the taker rests or is cancelled. */
static void match_end(core *c) {
    leave_level(c);
    c->run.stage = RUN_REST;
}

/* Does the circuit breaker keep a trade at this price from happening? Then the instrument no longer trades. */
static bool breaker_holds(core *c, uint32_t number, int64_t price_ticks) {
    const instrument *i = &c->instruments[number];
    const uint32_t level = breaker_stops(i, i->static_price_ticks, i->reference_price_ticks, price_ticks);
    if (level == 0) return false;
    leave_level(c);
    breaker_trip(c, number, level);
    c->run.taker.rest_code = CODE_CANCELLED_BY_BREAKER;
    c->run.stage = RUN_REST;
    return true;
}

/* Work on the first maker. */
void match_step(core *c) {
    taker *t = &c->run.taker;
    const position *p = position_at(c, t->position);
    const instrument *i = &c->instruments[p->instrument];
    if (c->run.level != 0 && c->levels[c->run.level].order_count == 0) leave_level(c);
    const maker m = t->rest_lots > 0 ? maker_for(c, i, t) : (maker){0};
    if (m.slot == 0) {
        match_end(c);
        return;
    }
    if (UNLIKELY(c->run.level != 0 && c->orders[m.slot].level != c->run.level)) leave_level(c);
    const bool self = c->orders[m.slot].position == t->position; /* one position an account and instrument */
    if (UNLIKELY(self) && t->self_trade_prevention != SELF_TRADE_PREVENTION_NONE) {
        if (t->self_trade_prevention != SELF_TRADE_PREVENTION_CANCEL_TAKER) {
            prevent_self_trade(c, m.slot);
            return;
        }
        reduce_taker(c, t->rest_lots, CODE_CANCELLED_SELF_TRADE);
        match_end(c);
        return;
    }
    int64_t most_lots = t->rest_lots;
    if (UNLIKELY(t->order_type == ORDER_TYPE_MARKET_BY_QUOTE) && (most_lots = affordable(i, t, m.price_ticks)) == 0) {
        t->rest_code = CODE_CANCELLED_AMOUNT_REACHED;
        match_end(c);
        return;
    }
    if (UNLIKELY(i->has_breaker) && breaker_holds(c, p->instrument, m.price_ticks)) return;
    trade(c, m, most_lots);
}

/* A pegged taker goes as far as its price, an all-or-none one only if all of it is there. False: not at all. */
static bool may_match(const core *c, const instrument *i, taker *t) {
    taker_touch(c, i, t);
    if (t->extra == 0) return true;
    const order_extra *x = &c->extras[t->extra];
    if (x->peg != PEG_NONE) t->reach_ticks = peg_price(t->side, x, t->bid_ticks, t->ask_ticks);
    if (t->reach_ticks == 0) return false;
    return (x->options & TERM_OPTION_ALL_OR_NONE) == 0 || walk_finds(c, i, t, t->rest_lots);
}

/* A taker that is filled in begins to match, if its instrument is open. */
void match_begin(core *c) {
    taker *t = &c->run.taker;
    const instrument *i = &c->instruments[position_at(c, t->position)->instrument];
    t->reach_ticks = t->price_ticks;
    c->run.stage = RUN_MATCH;
    if (UNLIKELY(i->trading_state != TRADING_STATE_OPEN) ||
        (UNLIKELY((i->unseen_orders[t->side == SIDE_BUY] | t->extra) != 0) && !may_match(c, i, t)))
        c->run.stage = RUN_REST;
}

/* ---- New orders and replacements --------------------------------------------------------------------------------- */

/* Write the taker into an order slot: the one kept for a replaced order, or a new one. */
uint32_t rest_in_slot(core *c, const taker *t) {
    const bool fresh = t->slot == 0;
    const uint32_t slot = fresh ? pool_take(&c->order_pool, c->orders, sizeof(book_order)) : t->slot;
    position *p = position_at(c, t->position);
    c->orders[slot] = (book_order){.id = t->order_id,
                                   .client_order_id = t->client_order_id,
                                   .rest_lots = t->rest_lots,
                                   .filled_lots = t->filled_lots,
                                   .position = t->position,
                                   .maker_fee_ppm = t->maker_fee_ppm,
                                   .taker_fee_ppm = t->taker_fee_ppm,
                                   .key = t->key,
                                   .side = t->side,
                                   .options = t->options,
                                   .self_trade_prevention = t->self_trade_prevention,
                                   .extra = t->extra};
    if (UNLIKELY(t->extra != 0)) {
        order_extra *x = &c->extras[t->extra];
        x->order = slot;
        x->price_ticks = t->price_ticks;
        x->reserve_lots = x->display_lots > 0 && x->place != PLACE_WAITING && t->rest_lots > x->display_lots
                              ? t->rest_lots - x->display_lots
                              : 0;
    }
    order_rest *r = &c->rests[slot];
    const uint32_t prev = fresh ? p->last_order : r->prev, next = fresh ? 0 : r->next;
    *r = (order_rest){.lock_units = t->lock_units, .priority = c->sequence, .prev = prev, .next = next};
    if (!fresh) return slot;
    if (p->last_order != 0) c->rests[p->last_order].next = slot;
    else p->first_order = slot;
    p->last_order = slot;
    c->accounts[p->account].open_orders++;
    index_add(&c->order_index, order_hash(t->order_id), slot);
    if (t->client_order_id != 0) index_add(&c->client_index, t->client_hash, slot);
    if (UNLIKELY(t->extra != 0)) extra_enter(c, t->extra);
    return slot;
}

/* What is left behind matching: into the book, or cancelled; then the answer to a sender that did not enter the
 * order. */
void rest_step(core *c) {
    taker *t = &c->run.taker;
    const position *p = position_at(c, t->position);
    if (t->rest_lots > 0 && t->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED) {
        if (UNLIKELY(t->extra != 0)) t->extra = extra_trim(c, t->extra);
        const uint32_t slot = rest_in_slot(c, t);
        const book_order *b = &c->orders[slot];
        order_enqueue(c, slot, t->price_ticks);
        c->digest += order_digest(c, slot);
        if (LIKELY(place_of(c, b) == PLACE_DISPLAYED)) {
            put_level3(c, p, b->id, b->side, t->price_ticks, b->rest_lots - reserve_of(c, b), LEVEL3_ACTION_ADD);
            put_book_update(c, p, b->side, b->level);
        }
    } else {
        if (t->rest_lots > 0) reduce_taker(c, t->rest_lots, t->rest_code);
        if (t->slot != 0) {
            c->orders[t->slot].rest_lots = 0; /* by this a look-up made ahead knows that it is gone */
            order_forget(c, t->slot);
        } else if (UNLIKELY(t->extra != 0)) {
            extra_drop(c, t->extra);
        }
    }
    if (c->run.answers_other) put_applied(c, p->account, p->instrument, t->order_id, 0, 1);
    c->run.stage = RUN_DONE;
    if (UNLIKELY((c->instruments[p->instrument].waiting_orders | c->run.fire_instrument) != 0)) run_ended(c);
}

/* What prefixes say of an order: its checks, what a link cancels first, and an extra if something of it goes on. */
static __attribute__((noinline)) uint16_t enter_with(core *c, const wire_new_order *o, const wire_order_terms *terms,
                                                     const wire_order_link *link) {
    taker *t = &c->run.taker;
    uint32_t named = 0; /* the open order that the link names */
    uint16_t code = check_entry(c, o, terms, link, &named);
    if (named != 0 && link->action == LINK_ACTION_CANCEL_FIRST) cancel_as_asked(c, named);
    const uint32_t partner = link != NULL && link->action == LINK_ACTION_ONE_CANCELS_OTHER ? named : 0;
    if (code == CODE_NONE) code = check_new_order(c, o, terms, partner, t);
    if (code != CODE_NONE) return code;
    if (partner != 0 || (terms != NULL && terms_need_extra(terms))) t->extra = extra_take(c, o, terms);
    if (partner != 0) c->extras[t->extra].linked = partner;
    return CODE_NONE;
}

void do_new_order(core *c, const wire_new_order *o, const wire_order_terms *terms, const wire_order_link *link) {
    taker *t = &c->run.taker;
    const bool plain = LIKELY(terms == NULL && link == NULL);
    const uint16_t code = plain ? check_plain_order(c, o, t) : enter_with(c, o, terms, link);
    if (code != CODE_NONE) {
        put_reject(c, (const wire_header *)o, code);
        return;
    }
    if (t->position == 0) t->position = position_obtain(c, o->account, o->instrument);
    position *p = position_at(c, t->position);
    lock_release(c, p, t->side, -t->lock_units);
    open_lots_add(c, p, t->side, t->rest_lots);
    rate_count(c, &c->accounts[o->account]);
    put_report(c, t->key,
               (wire_report){.kind = EVENT_ACCEPTED,
                             .flags = sell_flag(t->side),
                             .instrument = o->instrument,
                             .account = o->account,
                             .order_id = t->order_id,
                             .client_order_id = t->client_order_id,
                             .price_ticks = t->price_ticks,
                             .quantity_lots = t->rest_lots,
                             .remaining_lots = t->rest_lots,
                             .reference = o->client_sequence,
                             .amount_units = t->amount_left_units});
    if (UNLIKELY(t->extra != 0) && c->extras[t->extra].place == PLACE_WAITING) wait_enter(c);
    else match_begin(c);
}

static void put_replaced(core *c, const book_order *b, const position *p, const wire_replace *o, int64_t rest_lots,
                         bool keeps) {
    put_report(c, b->key,
               (wire_report){.kind = EVENT_REPLACED,
                             .flags = sell_flag(b->side) | (keeps ? REPORT_FLAG_KEPT_PRIORITY : 0),
                             .instrument = p->instrument,
                             .account = p->account,
                             .order_id = b->id,
                             .client_order_id = b->client_order_id,
                             .price_ticks = o->price_ticks,
                             .quantity_lots = o->quantity_lots,
                             .remaining_lots = rest_lots,
                             .reference = b->key == c->run.key ? o->client_sequence : 0});
}

/* Take lots off an order that stays where it is: of an iceberg off its reserve first. */
static void less_in_place(core *c, book_order *b, int64_t less) {
    book_level *l = &c->levels[b->level];
    b->rest_lots -= less;
    if (UNLIKELY(b->extra != 0)) {
        order_extra *x = &c->extras[b->extra];
        const int64_t hidden_less = less < x->reserve_lots ? less : x->reserve_lots;
        x->reserve_lots -= hidden_less;
        l->reserve_lots -= hidden_less;
        less -= hidden_less;
    }
    l->quantity_lots -= less;
}

/* Same price, no larger: the order stays where it is. */
static void replace_in_place(core *c, const wire_replace *o, uint32_t slot, int64_t lock_units) {
    book_order *b = &c->orders[slot];
    order_rest *r = &c->rests[slot];
    position *p = position_at(c, b->position);
    const int64_t rest_lots = o->quantity_lots - b->filled_lots, less = b->rest_lots - rest_lots;
    c->digest -= order_digest(c, slot);
    less_in_place(c, b, less);
    open_lots_add(c, p, b->side, -less);
    if (lock_units < r->lock_units) {
        lock_release(c, p, b->side, r->lock_units - lock_units);
        r->lock_units = lock_units;
    }
    c->digest += order_digest(c, slot);
    put_replaced(c, b, p, o, rest_lots, true);
    if (LIKELY(place_of(c, b) == PLACE_DISPLAYED)) {
        put_level3(c, p, b->id, b->side, o->price_ticks, rest_lots - reserve_of(c, b), LEVEL3_ACTION_CHANGE);
        put_book_update(c, p, b->side, b->level);
    }
    if (b->key != c->run.key) put_applied(c, p->account, p->instrument, b->id, 0, 1);
}

/* Another price or a larger total: out of the book, and in again as a taker. Its slot and its place in its position
 * stay. */
static void replace_anew(core *c, const wire_replace *o, uint32_t slot, int64_t lock_units) {
    book_order *b = &c->orders[slot];
    order_rest *r = &c->rests[slot];
    position *p = position_at(c, b->position);
    const int64_t rest_lots = o->quantity_lots - b->filled_lots;
    const uint32_t level = b->level, index = side_index(c, b);
    c->digest -= order_digest(c, slot);
    order_dequeue(c, slot);
    lock_release(c, p, b->side, r->lock_units - lock_units);
    open_lots_add(c, p, b->side, rest_lots - b->rest_lots);
    put_replaced(c, b, p, o, rest_lots, false);
    b->rest_lots = 0; /* what is left of it is the taker's */
    put_less(c, p, b, index, c->levels[level].price_ticks, true, false);
    level_changed(c, p, index, level);
    c->run.taker = (taker){.order_id = b->id,
                           .client_order_id = b->client_order_id,
                           .price_ticks = o->price_ticks,
                           .rest_lots = rest_lots,
                           .filled_lots = b->filled_lots,
                           .lock_units = lock_units,
                           .position = b->position,
                           .slot = slot,
                           .extra = b->extra,
                           .rest_code = CODE_CANCELLED_UNFILLED,
                           .order_type = ORDER_TYPE_LIMIT,
                           .maker_fee_ppm = b->maker_fee_ppm,
                           .taker_fee_ppm = b->taker_fee_ppm,
                           .key = b->key,
                           .side = b->side,
                           .options = b->options,
                           .self_trade_prevention = b->self_trade_prevention,
                           .time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED};
    c->run.answers_other = b->key != c->run.key;
    match_begin(c);
}

void do_replace(core *c, const wire_replace *o) {
    uint32_t slot = 0;
    int64_t lock_units = 0;
    uint16_t code = CODE_MALFORMED;
    if (o->flags == 0)
        code = check_named_order(c, o->account, o->instrument, o->order_id, o->target_client_order_id, &slot);
    if (code == CODE_NONE) code = check_replace(c, o, slot, &lock_units);
    if (code != CODE_NONE) {
        put_reject(c, (const wire_header *)o, code);
        return;
    }
    rate_count(c, &c->accounts[o->account]);
    if (keeps_place(c, o, slot)) replace_in_place(c, o, slot, lock_units);
    else replace_anew(c, o, slot, lock_units);
}
