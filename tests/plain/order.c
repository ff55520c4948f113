/* Sections 4 and 6 to 8: a new order, cancel, replace, mass cancel. */
#include "state.h"

#include <stdlib.h>

static void count_rate(account *who, uint64_t received_ns) {
    if (who->rate_max == 0) return;
    const uint64_t window_ns = (who->rate_window_ms == 0 ? 1000ull : who->rate_window_ms) * 1000000;
    const uint64_t window = received_ns / window_ns;
    who->rate_count = window == who->rate_window ? who->rate_count + 1 : 1;
    who->rate_window = window;
}

/* What is left of an order goes to where it rests. */
static void rest_in_book(plain *book, const command *c, instrument *in, order *o) {
    o->priority = c->sequence;
    plain_book_insert(in, o);
    if (!is_displayed(o)) return;
    o->reserve = o->display > 0 ? o->rest - (int64_t)plain_least(o->display, o->rest) : 0;
    plain_event_level3(book, c, in, o, LEVEL3_ACTION_ADD);
    plain_event_book_update(book, c, in, o->side, o->price);
}

/* A taker's run has ended: what is left of it rests or is cancelled. */
void plain_finish(plain *book, const command *c, instrument *in, order *o, int how) {
    if (o->rest > 0 && can_rest(o)) {
        rest_in_book(book, c, in, o);
        return;
    }
    uint16_t code = CODE_CANCELLED_UNFILLED;
    if (how == ENDED_BY_AMOUNT) code = CODE_CANCELLED_AMOUNT_REACHED;
    if (how == ENDED_BY_BREAKER) code = CODE_CANCELLED_BY_BREAKER;
    if (o->rest > 0) plain_take_off(book, c, o, o->rest, code, 0);
    free(o);
}

/* The order as the command and its terms say it. */
static order *order_of(const command *c) {
    const wire_new_order *w = &AS(wire_new_order, c);
    order *o = plain_new(sizeof *o);
    *o = (order){.id = c->sequence,
                 .account = w->account,
                 .instrument = w->instrument,
                 .key = c->key,
                 .side = w->side,
                 .type = w->order_type,
                 .time_in_force = w->time_in_force,
                 .self_trade = w->self_trade_prevention,
                 .options = w->options,
                 .price = w->price_ticks,
                 .rest = w->quantity_lots,
                 .client_order_id = w->client_order_id};
    if (o->type == ORDER_TYPE_MARKET_BY_QUOTE) {
        o->amount = o->amount_left = w->quantity_lots;
        o->rest = 0; /* found by the checks */
    }
    if (c->terms == NULL) return o;
    o->trigger = c->terms->trigger;
    o->trigger_price = c->terms->trigger_price_ticks;
    o->offset = c->terms->offset_ticks;
    o->peg = c->terms->peg;
    o->terms = c->terms->options;
    o->display = c->terms->display_lots;
    o->minimum = c->terms->minimum_lots;
    o->expire_ns = c->terms->expire_ns;
    return o;
}

static void accept_order(plain *book, const command *c, instrument *in, order *o, order *partner) {
    account *who = plain_account_find(book, o->account);
    plain_report_order(book, c, o,
                       (wire_report){.kind = EVENT_ACCEPTED,
                                     .price_ticks = o->price,
                                     .quantity_lots = o->rest,
                                     .remaining_lots = o->rest,
                                     .reference = c->client_sequence,
                                     .amount_units = o->amount});
    count_rate(who, c->received_ns);
    const int64_t lock = o->lock; /* as the checks have found */
    o->lock = 0;
    plain_set_lock(book, o, lock);
    position *p = plain_position_of(who, in->number);
    *(o->side == SIDE_BUY ? &p->open_buy : &p->open_sell) += o->rest;
    if (partner == NULL) return;
    o->linked = partner->id;
    partner->linked = o->id;
}

void plain_new_order(plain *book, const command *c) {
    order *o = order_of(c), *partner = NULL;
    const uint16_t code = plain_check_new_order(book, c, o, &partner);
    if (code != CODE_NONE) {
        plain_reject(book, c, code);
        free(o);
        return;
    }
    instrument *in = plain_instrument_find(book, o->instrument);
    accept_order(book, c, in, o, partner);
    if (waits(o)) {
        plain_wait(in, o);
        return;
    }
    plain_finish(book, c, in, o, in->state == TRADING_STATE_OPEN ? plain_take(book, c, in, o) : ENDED);
    plain_fire(book, c, in, false);
}

/* ---- Cancel ------------------------------------------------------------------------------------------------------ */

/* An open order is cancelled wherever it is, with its book events; then the one it is linked with. */
void plain_cancel_open(plain *book, const command *c, order *o, uint16_t code, uint64_t reference) {
    instrument *in = plain_instrument_find(book, o->instrument);
    const uint64_t partner = o->linked;
    plain_take_off(book, c, o, o->rest, code, reference);
    plain_book_remove(in, o);
    if (is_displayed(o)) {
        plain_event_level3(book, c, in, o, LEVEL3_ACTION_REMOVE);
        if (in->level[o->side] == o->price) in->level_changed[o->side] = true; /* told when that level is left */
        else plain_event_book_update(book, c, in, o->side, o->price);
    }
    free(o);
    plain_end_partner(book, c, partner);
}

static uint16_t check_cancel(plain *book, const command *c, order **o) {
    const wire_cancel *w = &AS(wire_cancel, c);
    const uint16_t code = plain_take_nonce(book, c);
    if (code != CODE_NONE) return code;
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if ((w->order_id > 0) == (w->target_client_order_id > 0)) return CODE_MALFORMED;
    if (plain_account_find(book, w->account) == NULL) return CODE_UNKNOWN_ACCOUNT;
    *o = plain_order_named(book, w->account, w->instrument, w->order_id, w->target_client_order_id);
    return *o == NULL ? CODE_UNKNOWN_ORDER : CODE_NONE;
}

void plain_cancel(plain *book, const command *c) {
    const wire_cancel *w = &AS(wire_cancel, c);
    order *o = NULL;
    const uint16_t code = check_cancel(book, c, &o);
    if (code != CODE_NONE) {
        plain_reject(book, c, code);
        return;
    }
    const bool own = o->key == c->key;
    const uint64_t id = o->id;
    plain_cancel_open(book, c, o, CODE_CANCELLED_BY_REQUEST, own ? c->client_sequence : 0);
    if (!own)
        plain_report_applied(book, c,
                             (wire_report){.account = w->account,
                                           .instrument = w->instrument,
                                           .order_id = id,
                                           .client_order_id = w->client_order_id,
                                           .quantity_lots = 1});
}

/* ---- Replace ----------------------------------------------------------------------------------------------------- */

static void keep_place(plain *book, const command *c, instrument *in, order *o, int64_t rest, wire_report what) {
    const int64_t showed = shown(o);
    plain_set_lock(book, o, plain_least(o->lock, plain_need(in, o, o->price, rest)));
    o->rest = rest;
    o->reserve = rest - (int64_t)plain_least(showed, rest);
    what.flags |= REPORT_FLAG_KEPT_PRIORITY;
    plain_report_order(book, c, o, what);
    if (!is_displayed(o)) return;
    plain_event_level3(book, c, in, o, LEVEL3_ACTION_CHANGE);
    plain_event_book_update(book, c, in, o->side, o->price);
}

static void lose_place(plain *book, const command *c, instrument *in, order *o, int64_t price, int64_t rest,
                       wire_report what) {
    plain_report_order(book, c, o, what);
    plain_book_remove(in, o);
    if (is_displayed(o)) {
        plain_event_level3(book, c, in, o, LEVEL3_ACTION_REMOVE);
        plain_event_book_update(book, c, in, o->side, o->price);
    }
    plain_set_lock(book, o, plain_need(in, o, price, rest));
    o->price = price;
    o->rest = rest;
    o->reserve = 0;
    o->maker_notional = o->taker_notional = 0;
    plain_finish(book, c, in, o, in->state == TRADING_STATE_OPEN ? plain_take(book, c, in, o) : ENDED);
}

static uint16_t check_replace(plain *book, const command *c, order **o) {
    const wire_replace *w = &AS(wire_replace, c);
    const uint16_t code = plain_take_nonce(book, c);
    if (code != CODE_NONE) return code;
    if (plain_command_malformed(c) || (w->order_id > 0) == (w->target_client_order_id > 0)) return CODE_MALFORMED;
    if (plain_account_find(book, w->account) == NULL) return CODE_UNKNOWN_ACCOUNT;
    *o = plain_order_named(book, w->account, w->instrument, w->order_id, w->target_client_order_id);
    return *o == NULL ? CODE_UNKNOWN_ORDER : plain_check_replace(book, c, *o);
}

void plain_replace(plain *book, const command *c) {
    const wire_replace *w = &AS(wire_replace, c);
    order *o = NULL;
    const uint16_t code = check_replace(book, c, &o);
    if (code != CODE_NONE) {
        plain_reject(book, c, code);
        return;
    }
    account *who = plain_account_find(book, o->account);
    instrument *in = plain_instrument_find(book, o->instrument);
    const bool own = o->key == c->key;
    const uint64_t id = o->id;
    const int64_t rest = w->quantity_lots - o->filled;
    const wire_report what = {.kind = EVENT_REPLACED,
                              .price_ticks = w->price_ticks,
                              .quantity_lots = w->quantity_lots,
                              .remaining_lots = rest,
                              .reference = own ? c->client_sequence : 0};
    count_rate(who, c->received_ns);
    position *p = plain_position_of(who, in->number);
    *(o->side == SIDE_BUY ? &p->open_buy : &p->open_sell) += rest - o->rest;
    if (w->price_ticks == o->price && rest <= o->rest) keep_place(book, c, in, o, rest, what);
    else lose_place(book, c, in, o, w->price_ticks, rest, what);
    if (!own)
        plain_report_applied(
            book, c,
            (wire_report){.account = w->account, .instrument = w->instrument, .order_id = id, .quantity_lots = 1});
    plain_fire(book, c, in, false);
}

/* ---- Mass cancel ------------------------------------------------------------------------------------------------- */

/* The open order of this account and instrument with the lowest id above `above`. side 0: both, key 0: of any key. */
static order *next_by_id(const plain *book, uint32_t account, uint32_t instrument, uint8_t side, uint32_t key,
                         uint64_t above) {
    const struct instrument *in = plain_instrument_find(book, instrument);
    order *found = NULL;
    for (int list = 0; list < LIST_COUNT; list++) {
        for (order *o = in->lists[list]; o != NULL; o = o->next) {
            if (o->account != account || o->id <= above) continue;
            if ((side != 0 && o->side != side) || (key != 0 && o->key != key)) continue;
            if (found == NULL || o->id < found->id) found = o;
        }
    }
    return found;
}

/* Over the account's positions as they were created, in each by rising id. instrument, side, key 0: all of them. */
uint32_t plain_cancel_all(plain *book, const command *c, account *who, uint32_t instrument, uint8_t side, uint32_t key,
                          uint16_t code) {
    uint32_t count = 0;
    for (const position *p = who->positions; p != NULL; p = p->next) {
        if (instrument != 0 && p->instrument != instrument) continue;
        uint64_t above = 0;
        for (;;) {
            order *o = next_by_id(book, who->number, p->instrument, side, key, above);
            if (o == NULL) break;
            above = o->id;
            plain_cancel_open(book, c, o, code, 0);
            count++;
        }
    }
    return count;
}

static uint16_t check_mass_cancel(plain *book, const command *c) {
    const wire_mass_cancel *w = &AS(wire_mass_cancel, c);
    const uint16_t code = plain_take_nonce(book, c);
    if (code != CODE_NONE) return code;
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero) ||
        !plain_all_zero(w->zero2, sizeof w->zero2))
        return CODE_MALFORMED;
    if (w->side > SIDE_SELL) return CODE_MALFORMED;
    if (plain_account_find(book, w->account) == NULL) return CODE_UNKNOWN_ACCOUNT;
    if (w->instrument > 0 && plain_instrument_find(book, w->instrument) == NULL) return CODE_UNKNOWN_INSTRUMENT;
    return CODE_NONE;
}

void plain_mass_cancel(plain *book, const command *c) {
    const wire_mass_cancel *w = &AS(wire_mass_cancel, c);
    const uint16_t code = check_mass_cancel(book, c);
    if (code != CODE_NONE) {
        plain_reject(book, c, code);
        return;
    }
    account *who = plain_account_find(book, w->account);
    const uint32_t count = plain_cancel_all(book, c, who, w->instrument, w->side, 0, CODE_CANCELLED_BY_MASS_CANCEL);
    plain_report_applied(book, c,
                         (wire_report){.account = w->account,
                                       .instrument = w->instrument,
                                       .client_order_id = w->client_order_id,
                                       .quantity_lots = count});
}
