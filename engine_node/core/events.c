/* Events: numbered, stamped, kept for the key they go to, and handed out if someone asked.
 *
 * A report goes to two places: the ring of its key (the last `reports_kept`, from which a client that lost its line
 * resumes and from which the ingress sends without another copy) and the chunk of the caller. Numbers rise in any case, so
 * that every replica counts alike whatever it asked for.
 */
#include "internal.h"

static void hand_out(core *c, uint32_t class, const wire_report *e) {
    if ((c->options.event_mask & class) == 0) return;
    INVARIANT(c->out->count < c->out->room);
    c->out->events[c->out->count++] = *e;
}

static inline void stamp(core *c, wire_report *e) {
    e->n = c->run.n++;
    e->sequence = c->sequence;
    e->received_ns = c->received_ns;
}

void put_report(core *c, uint32_t key, wire_report *e) {
    if (key == 0) return;
    key_state *k = &c->keys[key];
    stamp(c, e);
    e->key = key;
    e->report_number = ++k->last_report_number;
    DIGEST_ADD(c, k, 2, 1);
    if (c->options.reports_kept != 0)
        c->rings[(size_t)key * c->options.reports_kept + (k->last_report_number & (c->options.reports_kept - 1))] = *e;
    hand_out(c, CORE_EVENTS_REPORTS, e);
}

void put_public(core *c, uint32_t class, wire_report *e) {
    stamp(c, e);
    hand_out(c, class, e);
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
        e->account = o->account, e->instrument = o->instrument, e->order_id = o->order_id, e->client_order_id = o->client_order_id;
        break;
    }
    case KIND_REPLACE: {
        const wire_replace *o = at;
        e->account = o->account, e->instrument = o->instrument, e->order_id = o->order_id;
        e->client_order_id = o->target_client_order_id, e->price_ticks = o->price_ticks, e->quantity_lots = o->quantity_lots;
        break;
    }
    case KIND_MASS_CANCEL: {
        const wire_mass_cancel *o = at;
        e->account = o->account, e->instrument = o->instrument, e->client_order_id = o->client_order_id;
        e->flags = o->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
        break;
    }
    case KIND_INSTRUMENT: e->instrument = ((const wire_instrument *)at)->instrument; break;
    case KIND_INSTRUMENT_LIMITS: e->instrument = ((const wire_instrument_limits *)at)->instrument; break;
    case KIND_ACCOUNT: e->account = ((const wire_account *)at)->account; break;
    case KIND_ACCOUNT_LIMITS: e->account = ((const wire_account_limits *)at)->account; break;
    case KIND_DEPOSIT:
    case KIND_WITHDRAWAL: e->account = ((const wire_deposit *)at)->account; break;
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
    put_report(c, c->run.key, &e);
}

void put_applied(core *c, uint32_t account_number, uint32_t instrument_number, uint64_t order_id, uint64_t client_order_id, int64_t count) {
    wire_report e = {.kind = EVENT_APPLIED, .account = account_number, .instrument = instrument_number, .order_id = order_id,
                     .client_order_id = client_order_id, .quantity_lots = count, .reference = c->run.client_sequence};
    put_report(c, c->run.key, &e);
}

void put_book_update(core *c, const position *p, uint8_t side, const book_level *level) {
    instrument *i = &c->instruments[p->instrument];
    i->book_update_id++;
    DIGEST_ADD(c, i, 15, 1);
    wire_report e = {.kind = EVENT_BOOK_UPDATE, .flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0, .instrument = p->instrument,
                     .price_ticks = level->price_ticks, .quantity_lots = level->quantity_lots,
                     .remaining_lots = level->order_count, .reference = i->book_update_id};
    put_public(c, CORE_EVENTS_MARKET, &e);
}

void put_level3(core *c, const position *p, uint64_t order_id, uint8_t side, int64_t price_ticks, int64_t rest_lots, uint16_t action) {
    instrument *i = &c->instruments[p->instrument];
    i->level3_id++;
    DIGEST_ADD(c, i, 16, 1);
    wire_report e = {.kind = EVENT_LEVEL3, .flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0, .code = action, .instrument = p->instrument,
                     .order_id = order_id, .price_ticks = price_ticks, .quantity_lots = rest_lots, .reference = i->level3_id};
    put_public(c, CORE_EVENTS_LEVEL3, &e);
}

void put_state(core *c, uint32_t instrument_number, uint32_t account_number, uint16_t trading_state) {
    wire_report e = {.kind = EVENT_STATE, .code = trading_state, .instrument = instrument_number, .account = account_number};
    put_public(c, CORE_EVENTS_MARKET, &e);
}
