/* Events: numbered, stamped, kept for the key they go to, and handed out if someone asked.
 *
 * A report is written once, where it stays: into the ring of its key (the last `reports_kept`, from which the
 * ingress sends and a client resumes), or into the caller's chunk where no reports are kept. Only a core that does
 * both copies it. (An event put together elsewhere and copied costs more than the match itself: wide loads of
 * just-written narrow fields wait for the stores.) Numbers rise in any case, so that every replica counts alike
 * whatever it asked for.
 *
 *   *report_place(c, key) = (wire_report){ what is known here };   report_end(c, key)   stamps and counts it
 */
#include "internal.h"

static inline wire_report *ring_place(const core *c, uint32_t key, uint64_t number) {
    return &c->rings[(size_t)key * c->options.reports_kept + (number & (c->options.reports_kept - 1))];
}

static inline wire_report *chunk_place(core *c) {
    INVARIANT(c->out->count < c->out->room);
    return &c->out->events[c->out->count];
}

static inline void stamp(core *c, wire_report *e) {
    e->n = c->run.n++;
    e->sequence = c->sequence;
    e->received_ns = c->received_ns;
}

static inline void touch(core *c, uint32_t key) {
    if (c->keys[key].touched) return;
    c->keys[key].touched = 1;
    c->touched[c->touched_count++] = (uint16_t)key;
}

uint64_t core_last_report(const core *c, uint32_t key) { return c->keys[key].last_report_number; }

const uint16_t *core_touched(core *c, uint32_t *count) {
    for (uint32_t i = 0; i < c->touched_count; i++) c->keys[c->touched[i]].touched = 0;
    *count = c->touched_count;
    c->touched_count = 0;
    return c->touched;
}

/* Where the next report of a key is to be written. */
wire_report *report_place(core *c, uint32_t key) {
    if (c->options.reports_kept != 0) return ring_place(c, key, c->keys[key].last_report_number + 1);
    return (c->options.event_mask & CORE_EVENTS_REPORTS) != 0 ? chunk_place(c) : &c->scratch;
}

/* The report written to report_place is whole: number it, stamp it, hand it out. */
void report_end(core *c, uint32_t key) {
    key_state *k = &c->keys[key];
    wire_report *e = report_place(c, key);
    stamp(c, e);
    e->key = key;
    e->report_number = ++k->last_report_number;
    DIGEST_ADD(c, k, 2, 1);
    touch(c, key);
    c->out->reports++;
    if ((c->options.event_mask & CORE_EVENTS_REPORTS) == 0) return;
    if (c->options.reports_kept != 0) *chunk_place(c) = *e;
    c->out->count++;
}

/* Where a public event is to be written; NULL, and counted, if nobody asked for its class. */
wire_report *public_place(core *c, uint32_t class) {
    if ((c->options.event_mask & class) != 0) return chunk_place(c);
    c->run.n++;
    return NULL;
}

void public_end(core *c) {
    stamp(c, chunk_place(c));
    c->out->count++;
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
    wire_report *e = report_place(c, c->run.key);
    *e = (wire_report){.kind = EVENT_REJECTED, .code = code, .reference = command->client_sequence};
    echo(e, command);
    report_end(c, c->run.key);
}

void put_applied(core *c, uint32_t account_number, uint32_t instrument_number, uint64_t order_id,
                 uint64_t client_order_id, int64_t count) {
    *report_place(c, c->run.key) = (wire_report){.kind = EVENT_APPLIED,
                                                 .account = account_number,
                                                 .instrument = instrument_number,
                                                 .order_id = order_id,
                                                 .client_order_id = client_order_id,
                                                 .quantity_lots = count,
                                                 .reference = c->run.client_sequence};
    report_end(c, c->run.key);
}

void put_book_update(core *c, const position *p, uint8_t side, const book_level *level) {
    instrument *i = &c->instruments[p->instrument];
    i->book_update_id++;
    DIGEST_ADD(c, i, 15, 1);
    wire_report *e = public_place(c, CORE_EVENTS_MARKET);
    if (e == NULL) return;
    *e = (wire_report){.kind = EVENT_BOOK_UPDATE,
                       .flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0,
                       .instrument = p->instrument,
                       .price_ticks = level->price_ticks,
                       .quantity_lots = level->quantity_lots,
                       .remaining_lots = level->order_count,
                       .reference = i->book_update_id};
    public_end(c);
}

void put_level3(core *c, const position *p, uint64_t order_id, uint8_t side, int64_t price_ticks, int64_t rest_lots,
                uint16_t action) {
    instrument *i = &c->instruments[p->instrument];
    i->level3_id++;
    DIGEST_ADD(c, i, 16, 1);
    wire_report *e = public_place(c, CORE_EVENTS_LEVEL3);
    if (e == NULL) return;
    *e = (wire_report){.kind = EVENT_LEVEL3,
                       .flags = side == SIDE_SELL ? REPORT_FLAG_SELL : 0,
                       .code = action,
                       .instrument = p->instrument,
                       .order_id = order_id,
                       .price_ticks = price_ticks,
                       .quantity_lots = rest_lots,
                       .reference = i->level3_id};
    public_end(c);
}

void put_state(core *c, uint32_t instrument_number, uint32_t account_number, uint16_t trading_state) {
    wire_report *e = public_place(c, CORE_EVENTS_MARKET);
    if (e == NULL) return;
    *e = (wire_report){
        .kind = EVENT_STATE, .code = trading_state, .instrument = instrument_number, .account = account_number};
    public_end(c);
}
