/* Events that more than one place makes, and the questions about reports. How an event is written: internal.h. */
#include "internal.h"

uint64_t core_last_report(const core *c, uint32_t key) { return c->keys[key].last_report_number; }

const uint16_t *core_touched(core *c, uint32_t *count) {
    for (uint32_t i = 0; i < c->touched_count; i++) c->keys[c->touched[i]].touched = 0;
    *count = c->touched_count;
    c->touched_count = 0;
    return c->touched;
}

/* What a reject repeats of the command it refuses (rules.md 11). */
static void echo(wire_report *e, const wire_header *command) {
    const void *at = command;
    switch (command->kind) {
    case KIND_NEW_ORDER: {
        const wire_new_order *o = at;
        e->account = o->account, e->instrument = o->instrument, e->client_order_id = o->client_order_id;
        e->price_ticks = o->price_ticks, e->quantity_lots = o->quantity_lots;
        e->flags = o->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
        break;
    }
    case KIND_CANCEL: {
        const wire_cancel *o = at;
        e->account = o->account, e->instrument = o->instrument, e->order_id = o->order_id,
        e->client_order_id = o->client_order_id;
        break;
    }
    case KIND_REPLACE: {
        const wire_replace *o = at;
        e->account = o->account, e->instrument = o->instrument, e->order_id = o->order_id;
        e->client_order_id = o->target_client_order_id, e->price_ticks = o->price_ticks,
        e->quantity_lots = o->quantity_lots;
        break;
    }
    case KIND_MASS_CANCEL: {
        const wire_mass_cancel *o = at;
        e->account = o->account, e->instrument = o->instrument, e->client_order_id = o->client_order_id;
        e->flags = o->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
        break;
    }
    case KIND_COUNTDOWN_CANCEL: {
        const wire_countdown_cancel *o = at;
        e->account = o->account, e->client_order_id = o->client_order_id;
        break;
    }
    case KIND_INSTRUMENT: e->instrument = ((const wire_instrument *)at)->instrument; break;
    case KIND_INSTRUMENT_STATE: e->instrument = ((const wire_instrument_state *)at)->instrument; break;
    case KIND_CIRCUIT_BREAKER: e->instrument = ((const wire_circuit_breaker *)at)->instrument; break;
    case KIND_INSTRUMENT_LIMITS: e->instrument = ((const wire_instrument_limits *)at)->instrument; break;
    case KIND_ACCOUNT: e->account = ((const wire_account *)at)->account; break;
    case KIND_ACCOUNT_LIMITS: e->account = ((const wire_account_limits *)at)->account; break;
    case KIND_DEPOSIT:
    case KIND_WITHDRAWAL:
    case KIND_FEE_PAYOUT: e->account = ((const wire_deposit *)at)->account; break;
    case KIND_BALANCE_FLOOR: e->account = ((const wire_balance_floor *)at)->account; break;
    case KIND_FEE_TIER: e->instrument = ((const wire_fee_tier *)at)->instrument; break;
    case KIND_PRICE_STEP: e->instrument = ((const wire_price_step *)at)->instrument; break;
    case KIND_TRADE_BUST: e->instrument = ((const wire_trade_bust *)at)->instrument; break;
    case KIND_TRADE_CORRECTION: {
        const wire_trade_correction *o = at;
        e->instrument = o->instrument, e->price_ticks = o->price_ticks, e->quantity_lots = o->quantity_lots;
        break;
    }
    case KIND_REFUSED: {
        const wire_refused *o = at;
        e->account = o->account, e->instrument = o->instrument, e->client_order_id = o->client_order_id;
        break;
    }
    default: break;
    }
}

void put_reject(core *c, const wire_header *command, uint16_t code) {
    wire_report e = {.kind = EVENT_REJECTED, .code = code, .reference = command->client_sequence};
    echo(&e, command);
    put_report(c, c->run.key, e);
}

void put_applied(core *c, uint32_t account_number, uint32_t instrument_number, uint64_t order_id,
                 uint64_t client_order_id, int64_t count) {
    put_report(c, c->run.key,
               (wire_report){.kind = EVENT_APPLIED,
                             .account = account_number,
                             .instrument = instrument_number,
                             .order_id = order_id,
                             .client_order_id = client_order_id,
                             .quantity_lots = count,
                             .reference = c->run.client_sequence});
}

/* The best level of a side behind a change to it. An emptied one still stands there: the next worse takes its place. */
static void put_top(core *c, uint32_t number, uint8_t side, const book_level *best) {
    static const book_level none;
    instrument *i = &c->instruments[number];
    if (best->order_count == 0) best = best->worse != 0 ? &c->levels[best->worse] : &none;
    i->top_id++;
    DIGEST_ADD(c, i, 17, 1);
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_TOP,
                             .flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0,
                             .instrument = number,
                             .price_ticks = best->price_ticks,
                             .quantity_lots = best->quantity_lots,
                             .remaining_lots = best->order_count,
                             .reference = i->top_id});
}

void put_book_update(core *c, const position *p, uint8_t side, uint32_t level) {
    const book_level *l = &c->levels[level];
    instrument *i = &c->instruments[p->instrument];
    if (UNLIKELY(i->book_update_id == i->checksum_update_id)) set_add(&c->dirty, p->instrument);
    i->book_update_id++;
    DIGEST_ADD(c, i, 15, 1);
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_BOOK_UPDATE,
                             .flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0,
                             .instrument = p->instrument,
                             .price_ticks = l->price_ticks,
                             .quantity_lots = l->quantity_lots,
                             .remaining_lots = l->order_count,
                             .reference = i->book_update_id});
    if (own_side(i, side)->best == level) put_top(c, p->instrument, side, l);
}

void put_level3(core *c, const position *p, uint64_t order_id, uint8_t side, int64_t price_ticks, int64_t rest_lots,
                uint16_t action) {
    instrument *i = &c->instruments[p->instrument];
    i->level3_id++;
    DIGEST_ADD(c, i, 16, 1);
    put_public(c, CORE_EVENTS_LEVEL3,
               (wire_report){.kind = EVENT_LEVEL3,
                             .flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0,
                             .code = action,
                             .instrument = p->instrument,
                             .order_id = order_id,
                             .price_ticks = price_ticks,
                             .quantity_lots = rest_lots,
                             .reference = i->level3_id});
}

void put_state(core *c, uint32_t account_number, bool halted) {
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_STATE,
                             .code = halted ? TRADING_STATE_HALTED : TRADING_STATE_OPEN,
                             .account = account_number});
}

void put_instrument_state(core *c, uint32_t number, uint32_t breaker_level) {
    const instrument *i = &c->instruments[number];
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_STATE,
                             .code = i->trading_state,
                             .instrument = number,
                             .quantity_lots = breaker_level,
                             .reference = i->auction_ends_ns});
}
