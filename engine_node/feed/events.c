/* One event of the core as JSON, and where it goes. The order of fields is that of schemas/topics.json.
 *
 *   {"type":"accepted  ","shard":0,"seq":42,"n":  0  ,"received_ns":1790000000000000000  ,"firm":1,…}
 *    by kind            before_n                      after_n                              by kind
 */
#include "parts.h"

void common_begin(feed *f, uint64_t sequence, uint64_t received_ns) {
    char *p = PUT(f->before_n, "\",\"shard\":");
    p = put_unsigned(p, f->options.shard);
    p = PUT(p, ",\"seq\":");
    p = put_unsigned(p, sequence);
    p = PUT(p, ",\"n\":");
    f->before_n_bytes = (uint32_t)(p - f->before_n);
    p = PUT(f->after_n, ",\"received_ns\":");
    p = put_unsigned(p, received_ns);
    f->after_n_bytes = (uint32_t)(p - f->after_n);
}

char *put_common(const feed *f, char *p, uint32_t n) {
    p = put_bytes(p, f->before_n, f->before_n_bytes);
    p = put_unsigned(p, n);
    return put_bytes(p, f->after_n, f->after_n_bytes);
}

static char *put_name(char *p, const wire_name *names, size_t count, uint32_t value) {
    assert(value < count && names[value].at != NULL);
    return put_bytes(p, names[value].at, names[value].bytes);
}
#define PUT_NAME(p, names, value) put_name(p, names, sizeof(names) / sizeof *(names), value)

static char *put_side(char *p, const wire_report *e) {
    return e->flags & REPORT_FLAG_SELL ? PUT(p, ",\"side\":\"sell\"") : PUT(p, ",\"side\":\"buy\"");
}

static char *put_named(char *p, const market *m) { return put_bytes(p, m->named, m->named_bytes); }

static char *put_price(char *p, const market *m, int64_t ticks) {
    p = PUT(p, ",\"price\":\"");
    p = put_scaled(p, &m->price, ticks);
    return PUT(p, "\"");
}

/* ,"price":"…","quantity":"…","price_ticks":…,"quantity_lots":… */
static char *put_size(char *p, const market *m, const wire_report *e) {
    p = put_price(p, m, e->price_ticks);
    p = PUT(p, ",\"quantity\":\"");
    p = put_scaled(p, &m->quantity, e->quantity_lots);
    p = PUT(p, "\",\"price_ticks\":");
    p = put_signed(p, e->price_ticks);
    p = PUT(p, ",\"quantity_lots\":");
    return put_signed(p, e->quantity_lots);
}

static int64_t notional_units(const market *m, const wire_report *e) {
    return (int64_t)((wide)m->quote_units_per_tick_lot * (uint64_t)e->price_ticks * (uint64_t)e->quantity_lots);
}

/* ---- Executions -------------------------------------------------------------------------------------------------- */

static char *put_base(char *p, const wire_report *e, const owner *whose) {
    p = PUT(p, ",\"firm\":");
    p = put_unsigned(p, whose->firm);
    p = PUT(p, ",\"account\":");
    p = put_unsigned(p, e->account);
    p = PUT(p, ",\"key\":");
    p = put_unsigned(p, e->key);
    p = PUT(p, ",\"report_number\":");
    p = put_unsigned(p, e->report_number);
    p = PUT(p, ",\"code\":\"");
    p = PUT_NAME(p, code_names, e->code);
    return PUT(p, "\"");
}

static char *put_order(char *p, const market *m, const wire_report *e) {
    p = put_named(p, m);
    p = put_side(p, e);
    p = PUT(p, ",\"order_id\":");
    p = put_unsigned(p, e->order_id);
    p = PUT(p, ",\"client_order_id\":");
    p = put_unsigned(p, e->client_order_id);
    p = put_size(p, m, e);
    p = PUT(p, ",\"remaining_lots\":");
    p = put_signed(p, e->remaining_lots);
    p = PUT(p, ",\"done\":");
    return put_bool(p, e->flags & REPORT_FLAG_DONE);
}

static char *put_nonce(char *p, const command *told) {
    if (told->nonce == NULL) return p;
    p = PUT(p, ",\"nonce\":\"");
    p = put_hex(p, told->nonce, sizeof((wire_nonce *)0)->nonce);
    return PUT(p, "\"");
}

/* Up to its first zero byte, which some readers could not keep. */
static char *put_text(char *p, const command *told) {
    if (told->text == NULL) return p;
    const uint8_t *end = memchr(told->text, 0, TEXT_BYTES_MAX);
    p = PUT(p, ",\"text\":\"");
    p = put_escaped(p, told->text, end == NULL ? TEXT_BYTES_MAX : (size_t)(end - told->text));
    return PUT(p, "\"");
}

/* The kind of the command; of a frame that the ingress refused, what it would have been if that is a kind at all. */
static char *put_kind(char *p, const command *told) {
    uint32_t kind = told->closing->kind;
    if (kind == KIND_REFUSED) {
        const uint32_t was = ((const wire_refused *)told->closing)->refused_kind;
        if (was < sizeof kind_names / sizeof *kind_names && kind_names[was].at != NULL) kind = was;
    }
    p = PUT(p, ",\"kind\":\"");
    p = PUT_NAME(p, kind_names, kind);
    return PUT(p, "\"");
}

static char *put_reference(char *p, const wire_report *e) {
    p = PUT(p, ",\"reference\":");
    return put_unsigned(p, e->reference);
}

static char *put_accepted(char *p, const command *told) {
    const wire_new_order *o = (const void *)told->closing;
    p = PUT(p, ",\"order_type\":\"");
    p = PUT_NAME(p, order_type_names, o->order_type);
    p = PUT(p, "\",\"time_in_force\":\"");
    p = PUT_NAME(p, time_in_force_names, o->time_in_force);
    p = PUT(p, "\",\"post_only\":");
    p = put_bool(p, o->options & ORDER_OPTION_POST_ONLY);
    p = put_nonce(p, told);
    return put_text(p, told);
}

static char *put_rejected(char *p, const market *m, const command *told, const wire_report *e) {
    p = put_kind(p, told);
    if (m != NULL) {
        p = put_named(p, m);
    } else if (e->instrument != 0) {
        p = PUT(p, ",\"instrument\":");
        p = put_unsigned(p, e->instrument);
    }
    p = PUT(p, ",\"client_order_id\":");
    p = put_unsigned(p, e->client_order_id);
    p = put_reference(p, e);
    p = put_nonce(p, told);
    return put_text(p, told);
}

static char *put_filled(char *p, const market *m, const wire_report *e) {
    p = PUT(p, ",\"trade_id\":");
    p = put_unsigned(p, e->reference);
    p = PUT(p, ",\"maker\":");
    p = put_bool(p, e->flags & REPORT_FLAG_MAKER);
    p = PUT(p, ",\"auction\":");
    p = put_bool(p, e->flags & REPORT_FLAG_AUCTION);
    p = PUT(p, ",\"notional_units\":");
    p = put_signed(p, notional_units(m, e));
    p = PUT(p, ",\"fee_units\":");
    p = put_signed(p, e->amount_units);
    p = PUT(p, ",\"fee\":\"");
    p = put_amount(p, e->amount_units, m->quote_decimals);
    p = PUT(p, "\",\"quote\":\"");
    p = put_bytes(p, m->quote, m->quote_bytes);
    return PUT(p, "\"");
}

static char *put_applied(char *p, const command *told, const wire_report *e) {
    p = put_kind(p, told);
    p = PUT(p, ",\"order_count\":");
    p = put_signed(p, e->quantity_lots);
    p = PUT(p, ",\"order_id\":");
    p = put_unsigned(p, e->order_id);
    p = put_reference(p, e);
    p = put_nonce(p, told);
    return put_text(p, told);
}

static char *put_adjustment(char *p, const market *m, const wire_report *e) {
    p = put_named(p, m);
    p = put_side(p, e);
    p = PUT(p, ",\"trade_id\":");
    p = put_unsigned(p, e->reference);
    p = PUT(p, ",\"price_ticks\":");
    p = put_signed(p, e->price_ticks);
    p = PUT(p, ",\"quantity_lots\":");
    p = put_signed(p, e->quantity_lots);
    p = PUT(p, ",\"position_change_lots\":");
    p = put_signed(p, e->remaining_lots);
    p = PUT(p, ",\"amount_units\":");
    return put_signed(p, e->amount_units);
}

static const wire_name execution_types[EVENT_ADJUSTMENT + 1] = {
    [EVENT_ACCEPTED] = {"accepted", 8},   [EVENT_REJECTED] = {"rejected", 8},     [EVENT_FILLED] = {"filled", 6},
    [EVENT_CANCELLED] = {"cancelled", 9}, [EVENT_REPLACED] = {"replaced", 8},     [EVENT_APPLIED] = {"applied", 7},
    [EVENT_TRIGGERED] = {"triggered", 9}, [EVENT_ADJUSTMENT] = {"adjustment", 10}};

static char *put_execution(feed *f, char *p, const command *told, const wire_report *e, const owner *whose) {
    const market *m = market_of(f, e->instrument);
    p = PUT(p, "{\"type\":\"");
    p = PUT_NAME(p, execution_types, e->kind);
    p = put_common(f, p, e->n);
    p = put_base(p, e, whose);
    if (e->kind == EVENT_REJECTED) return put_rejected(p, m, told, e);
    if (e->kind == EVENT_APPLIED) return put_applied(p, told, e);
    if (m == NULL) return p; /* there is no memory: f->failed says so */
    if (e->kind == EVENT_ADJUSTMENT) return put_adjustment(p, m, e);
    p = put_order(p, m, e);
    if (e->kind == EVENT_ACCEPTED) return put_accepted(p, told);
    if (e->kind == EVENT_FILLED) return put_filled(p, m, e);
    if (e->kind == EVENT_TRIGGERED) {
        p = PUT(p, ",\"trade_id\":");
        return put_unsigned(p, e->reference);
    }
    if (e->kind == EVENT_REPLACED) {
        p = PUT(p, ",\"kept_priority\":");
        p = put_bool(p, e->flags & REPORT_FLAG_KEPT_PRIORITY);
        return put_nonce(p, told);
    }
    return p;
}

/* ---- Balances ---------------------------------------------------------------------------------------------------- */

static char *put_balance_event(feed *f, char *p, const wire_report *e, const owner *whose) {
    core_asset_info asset;
    if (!core_asset(f->of, e->instrument, &asset)) return p; /* it moved, so it is there */
    p = e->amount_units < 0 ? PUT(p, "{\"type\":\"withdrawal") : PUT(p, "{\"type\":\"deposit");
    p = put_common(f, p, e->n);
    p = put_balance(p, whose->firm, e->account, e->instrument, &asset, e->quantity_lots, e->remaining_lots);
    p = PUT(p, ",\"amount\":\"");
    p = put_amount(p, e->amount_units, asset.decimals);
    p = PUT(p, "\",\"amount_units\":");
    p = put_signed(p, e->amount_units);
    return put_reference(p, e);
}

/* ---- Of a symbol ------------------------------------------------------------------------------------------------- */

static char *put_print(char *p, const market *m, const wire_report *e) {
    p = put_named(p, m);
    p = PUT(p, ",\"trade_id\":");
    p = put_unsigned(p, e->reference);
    p = put_size(p, m, e);
    if (e->kind != EVENT_TRADE) return p;
    p = put_side(p, e);
    p = PUT(p, ",\"maker_order_id\":");
    p = put_unsigned(p, e->order_id);
    p = PUT(p, ",\"taker_order_id\":");
    p = put_unsigned(p, e->client_order_id);
    p = PUT(p, ",\"auction\":");
    p = put_bool(p, e->flags & REPORT_FLAG_AUCTION);
    p = PUT(p, ",\"notional_units\":");
    return put_signed(p, notional_units(m, e));
}

static char *put_update_id(char *p, const market *m, const wire_report *e) {
    p = put_named(p, m);
    p = PUT(p, ",\"update_id\":");
    return put_unsigned(p, e->reference);
}

static char *put_level(char *p, const market *m, const wire_report *e) {
    p = put_update_id(p, m, e);
    p = put_side(p, e);
    p = put_size(p, m, e);
    p = PUT(p, ",\"order_count\":");
    return put_signed(p, e->remaining_lots);
}

static char *put_checksum(char *p, const market *m, const wire_report *e) {
    p = put_update_id(p, m, e);
    p = PUT(p, ",\"crc32\":");
    p = put_signed(p, e->amount_units);
    p = PUT(p, ",\"bid_count\":");
    p = put_signed(p, e->quantity_lots);
    p = PUT(p, ",\"ask_count\":");
    return put_signed(p, e->remaining_lots);
}

static char *put_indicative(char *p, const market *m, const wire_report *e) {
    p = put_update_id(p, m, e);
    if (e->price_ticks != 0) p = put_price(p, m, e->price_ticks);
    p = PUT(p, ",\"price_ticks\":");
    p = put_signed(p, e->price_ticks);
    p = PUT(p, ",\"quantity_lots\":");
    p = put_signed(p, e->quantity_lots);
    p = PUT(p, ",\"imbalance_lots\":");
    p = put_signed(p, e->remaining_lots);
    return put_side(p, e);
}

static char *put_state(char *p, const market *m, const wire_report *e) {
    p = m != NULL         ? PUT(p, ",\"scope\":\"instrument\",\"state\":\"")
        : e->account != 0 ? PUT(p, ",\"scope\":\"account\",\"state\":\"")
                          : PUT(p, ",\"scope\":\"everything\",\"state\":\"");
    p = PUT_NAME(p, trading_state_names, e->code);
    p = PUT(p, "\"");
    if (m == NULL && e->account != 0) {
        p = PUT(p, ",\"account\":");
        p = put_unsigned(p, e->account);
    }
    if (m == NULL) return p;
    p = put_named(p, m);
    if (e->reference != 0) {
        p = PUT(p, ",\"auction_ends_ns\":");
        p = put_unsigned(p, e->reference);
    }
    p = PUT(p, ",\"breaker_level\":");
    return put_signed(p, e->quantity_lots);
}

/* ---- Where it goes ----------------------------------------------------------------------------------------------- */

static void tell_firm(feed *f, feed_topic topic, const command *told, const wire_report *e) {
    const owner whose = owner_of(f, e->account);
    char *p = batch_room(f, &f->batches[topic][whose.partition]);
    if (p == NULL) return;
    p = topic == FEED_EXECUTIONS ? put_execution(f, p, told, e, &whose) : put_balance_event(f, p, e, &whose);
    char key[20];
    const uint32_t key_bytes = (uint32_t)(put_unsigned(key, whose.firm) - key);
    batch_add(f, topic, whose.partition, PUT(p, "}"), (feed_place){e->sequence, e->n}, key, key_bytes);
}

/* `type` is the beginning of the event, `put` writes its own fields. */
static void tell_symbol(feed *f, feed_topic topic, const wire_report *e, const char *type,
                        char *(*put)(char *, const market *, const wire_report *)) {
    const market *m = e->instrument == 0 ? NULL : market_of(f, e->instrument);
    if (m == NULL && e->instrument != 0) return; /* there is no memory: f->failed says so */
    const uint32_t partition = m == NULL ? 0 : m->partition;
    char *p = batch_room(f, &f->batches[topic][partition]);
    if (p == NULL) return;
    p = put_bytes(p, type, strlen(type));
    p = put_common(f, p, e->n);
    p = put(p, m, e);
    batch_add(f, topic, partition, PUT(p, "}"), (feed_place){e->sequence, e->n}, m == NULL ? "" : m->symbol,
              m == NULL ? 0 : m->symbol_bytes);
}

void event_tell(feed *f, const command *told, const wire_report *e) {
    switch (e->kind) {
    case EVENT_ACCEPTED:
    case EVENT_REJECTED:
    case EVENT_FILLED:
    case EVENT_CANCELLED:
    case EVENT_REPLACED:
    case EVENT_APPLIED:
    case EVENT_TRIGGERED:
    case EVENT_ADJUSTMENT: tell_firm(f, FEED_EXECUTIONS, told, e); break;
    case EVENT_BALANCE: tell_firm(f, FEED_BALANCES, told, e); break;
    case EVENT_TRADE: tell_symbol(f, FEED_TRADES, e, "{\"type\":\"trade", put_print); break;
    case EVENT_TRADE_BUST: tell_symbol(f, FEED_TRADES, e, "{\"type\":\"bust", put_print); break;
    case EVENT_TRADE_CORRECTION: tell_symbol(f, FEED_TRADES, e, "{\"type\":\"correction", put_print); break;
    case EVENT_BOOK_UPDATE: tell_symbol(f, FEED_BOOK, e, "{\"type\":\"level", put_level); break;
    case EVENT_BOOK_CHECKSUM: tell_symbol(f, FEED_BOOK, e, "{\"type\":\"checksum", put_checksum); break;
    case EVENT_STATE: tell_symbol(f, FEED_MARKET_STATE, e, "{\"type\":\"state", put_state); break;
    case EVENT_INDICATIVE: tell_symbol(f, FEED_MARKET_STATE, e, "{\"type\":\"indicative", put_indicative); break;
    default: break; /* top is told as a state; level3 is told by nobody */
    }
}
