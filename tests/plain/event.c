/* Section 11: events and their numbers. */
#include "state.h"

#include <stdio.h>
#include <stdlib.h>

wire_report *plain_event(plain *book, const command *c, uint8_t kind) {
    if (book->event_count == book->event_room) {
        book->event_room = book->event_room * 2 + 64;
        book->events = realloc(book->events, book->event_room * sizeof *book->events);
        if (book->events == NULL) abort();
    }
    wire_report *e = &book->events[book->event_count];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->n = book->event_count++;
    e->sequence = c->sequence;
    e->received_ns = c->received_ns;
    return e;
}

/* A report goes to a key and gets its next number; there is none to key 0. */
void plain_report(plain *book, const command *c, uint32_t to, wire_report what) {
    if (to == 0) return;
    wire_report *e = plain_event(book, c, what.kind);
    const uint32_t n = e->n;
    what.n = n;
    what.key = to;
    what.report_number = ++plain_key_of(book, to)->report_number;
    what.sequence = c->sequence;
    what.received_ns = c->received_ns;
    *e = what;
}

void plain_report_order(plain *book, const command *c, const order *o, wire_report what) {
    what.account = o->account;
    what.instrument = o->instrument;
    what.order_id = o->id;
    what.client_order_id = o->client_order_id;
    if (o->side == SIDE_SELL) what.flags |= REPORT_FLAG_SELL;
    plain_report(book, c, o->key, what);
}

void plain_report_applied(plain *book, const command *c, wire_report what) {
    what.kind = EVENT_APPLIED;
    what.reference = c->client_sequence;
    plain_report(book, c, c->key, what);
}

/* What the command said, as far as its kind has such fields. */
void plain_reject(plain *book, const command *c, uint16_t code) {
    wire_report what = {.kind = EVENT_REJECTED, .code = code, .reference = c->client_sequence};
    switch (c->kind) {
    case KIND_NEW_ORDER: {
        const wire_new_order *o = &AS(wire_new_order, c);
        what.account = o->account, what.instrument = o->instrument, what.client_order_id = o->client_order_id;
        what.price_ticks = o->price_ticks, what.quantity_lots = o->quantity_lots;
        what.flags = o->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
        break;
    }
    case KIND_CANCEL: {
        const wire_cancel *k = &AS(wire_cancel, c);
        what.account = k->account, what.instrument = k->instrument, what.order_id = k->order_id;
        what.client_order_id = k->client_order_id;
        break;
    }
    case KIND_REPLACE: {
        const wire_replace *r = &AS(wire_replace, c);
        what.account = r->account, what.instrument = r->instrument, what.order_id = r->order_id;
        what.price_ticks = r->price_ticks, what.quantity_lots = r->quantity_lots;
        what.client_order_id = r->target_client_order_id;
        break;
    }
    case KIND_MASS_CANCEL: {
        const wire_mass_cancel *m = &AS(wire_mass_cancel, c);
        what.account = m->account, what.instrument = m->instrument, what.client_order_id = m->client_order_id;
        what.flags = m->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
        break;
    }
    case KIND_REFUSED: {
        const wire_refused *r = &AS(wire_refused, c);
        what.account = r->account, what.instrument = r->instrument, what.client_order_id = r->client_order_id;
        break;
    }
    case KIND_COUNTDOWN_CANCEL:
        what.account = AS(wire_countdown_cancel, c).account;
        what.client_order_id = AS(wire_countdown_cancel, c).client_order_id;
        break;
    case KIND_TRADE_CORRECTION: {
        const wire_trade_correction *t = &AS(wire_trade_correction, c);
        what.instrument = t->instrument, what.price_ticks = t->price_ticks, what.quantity_lots = t->quantity_lots;
        break;
    }
    case KIND_INSTRUMENT:
    case KIND_INSTRUMENT_LIMITS:
    case KIND_INSTRUMENT_STATE:
    case KIND_CIRCUIT_BREAKER:
    case KIND_FEE_TIER:
    case KIND_PRICE_STEP:
    case KIND_TRADE_BUST: what.instrument = AS(wire_instrument, c).instrument; break;
    case KIND_ACCOUNT:
    case KIND_ACCOUNT_LIMITS:
    case KIND_DEPOSIT:
    case KIND_WITHDRAWAL:
    case KIND_FEE_PAYOUT:
    case KIND_BALANCE_FLOOR: what.account = AS(wire_account, c).account; break;
    default: break;
    }
    plain_report(book, c, c->key, what);
}

void plain_event_level3(plain *book, const command *c, instrument *in, const order *o, uint8_t action) {
    wire_report *e = plain_event(book, c, EVENT_LEVEL3);
    e->code = action;
    e->flags = o->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
    e->instrument = in->number;
    e->order_id = o->id;
    e->price_ticks = o->price;
    e->quantity_lots = action == LEVEL3_ACTION_REMOVE ? 0 : shown(o);
    e->reference = ++in->level3_id;
}

/* The level that changed is the best of its side, or was until it was emptied: the best level as it is now. */
static void event_top(plain *book, const command *c, instrument *in, uint8_t side, int64_t changed) {
    const order *best = *plain_book_side(in, side);
    const int64_t matched = in->level[side]; /* as far as told, this level is there until it is left */
    if (matched != 0 && plain_at_or_better(side, matched, changed)) return;
    if (best != NULL && !plain_at_or_better(side, changed, best->price)) return;
    wire_report *e = plain_event(book, c, EVENT_TOP);
    e->flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
    e->instrument = in->number;
    e->reference = ++in->top_id;
    for (const order *o = best; o != NULL && o->price == best->price; o = o->next) {
        e->price_ticks = best->price;
        e->quantity_lots += shown(o);
        e->remaining_lots++;
    }
}

void plain_event_book_update(plain *book, const command *c, instrument *in, uint8_t side, int64_t price) {
    wire_report *e = plain_event(book, c, EVENT_BOOK_UPDATE);
    e->flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
    e->instrument = in->number;
    e->price_ticks = price;
    for (const order *o = *plain_book_side(in, side); o != NULL; o = o->next) {
        if (o->price != price) continue;
        e->quantity_lots += shown(o);
        e->remaining_lots++;
    }
    e->reference = ++in->book_update_id;
    event_top(book, c, in, side, price);
}

/* Of an instrument; `level` is that of the breaker that moved it. */
void plain_event_state(plain *book, const command *c, const instrument *in, int64_t level) {
    wire_report *e = plain_event(book, c, EVENT_STATE);
    e->code = in->state;
    e->instrument = in->number;
    e->quantity_lots = level;
    e->reference = in->auction_ends_ns;
}

/* Of an account, or of everything (account 0). */
void plain_event_halt(plain *book, const command *c, bool halted, uint32_t account) {
    wire_report *e = plain_event(book, c, EVENT_STATE);
    e->code = halted ? TRADING_STATE_HALTED : TRADING_STATE_OPEN;
    e->account = account;
}

void plain_event_balance(plain *book, const command *c, account *who, uint32_t asset, int64_t amount,
                         uint64_t reference) {
    const balance *b = plain_balance_of(who, asset);
    wire_report *e = plain_event(book, c, EVENT_BALANCE);
    e->instrument = asset;
    e->account = who->number;
    e->amount_units = amount;
    e->quantity_lots = b->free;
    e->remaining_lots = b->locked;
    e->reference = reference;
}
