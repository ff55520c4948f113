/* The core and the plain book side by side: see the header. */
#include "support/side_by_side.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plain/state.h"
#include "support/readable.h"

#define EVENTS_BEFORE 8u
#define EVENTS_BEHIND 8u

static void *memory_of(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (memory == NULL) abort();
    memset(memory, 0, bytes);
    return memory;
}

static void open_core(side_by_side *s) {
    const size_t bytes = core_bytes(&s->options);
    s->memory = memory_of(bytes);
    if (core_open(s->memory, bytes, &s->options, &s->fast) != CORE_OK) abort();
}

void side_open(side_by_side *s, const core_options *options) {
    *s = (side_by_side){.options = *options};
    open_core(s);
    s->slow = plain_open(options->key_count_max, options->nonce_window_ns);
}

void side_close(side_by_side *s) {
    plain_close(s->slow);
    free(s->memory);
    free(s->events);
}

/* ---- Applying ---------------------------------------------------------------------------------------------------- */

static void apply_to_core(side_by_side *s, const wire_record *records, uint32_t count, uint32_t room) {
    s->event_count = 0;
    for (bool first = true;; first = false) {
        if (s->event_count + room > s->event_room) {
            s->event_room = 2 * (s->event_count + room);
            s->events = realloc(s->events, s->event_room * sizeof *s->events);
            if (s->events == NULL) abort();
        }
        core_events out = {.events = s->events + s->event_count, .room = room};
        s->status = first ? core_apply(s->fast, records, count, &out) : core_next(s->fast, &out);
        if (s->status != CORE_OK && s->status != CORE_MORE) return;
        s->event_count += out.count;
        if (s->status == CORE_OK) return;
    }
}

static bool full_is_right(const side_by_side *s, const wire_record *last) {
    const uint8_t kind = last->command[0];
    return !s->room_enough || kind == KIND_ASSET || kind == KIND_INSTRUMENT || kind == KIND_ACCOUNT;
}

static const char *const answers[] = {
    [PLAIN_TAKEN] = "taken", [PLAIN_CANT_STAND] = "can't stand", [PLAIN_DIVERGED] = "diverged"};

static bool answers_agree(const side_by_side *s, plain_answer answer) {
    static const core_status same[] = {
        [PLAIN_TAKEN] = CORE_OK, [PLAIN_CANT_STAND] = CORE_E_RECORD, [PLAIN_DIVERGED] = CORE_E_DIVERGED};
    if (s->status == same[answer]) return true;
    fprintf(stderr, "the answers must be the same: core %s, plain book %s\n", core_status_name(s->status),
            answers[answer]);
    return false;
}

/* The events around the first that differs. */
static void print_events(const char *whose, const wire_report *events, uint32_t count, uint32_t first) {
    fprintf(stderr, "  %s, %u events:\n", whose, count);
    for (uint32_t i = first > EVENTS_BEFORE ? first - EVENTS_BEFORE : 0; i < count && i < first + EVENTS_BEHIND; i++) {
        fprintf(stderr, "  %s ", i == first ? "*" : " ");
        print_event(stderr, &events[i]);
    }
}

static bool events_agree(const side_by_side *s) {
    uint32_t count, first = 0;
    const wire_report *slow = plain_events(s->slow, &count);
    const uint32_t both = count < s->event_count ? count : s->event_count;
    while (first < both && memcmp(&slow[first], &s->events[first], sizeof *slow) == 0) first++;
    if (first == count && first == s->event_count) return true;
    fprintf(stderr, "the events must be the same, the first that differs is *:\n");
    print_events("core", s->events, s->event_count, first);
    print_events("plain book", slow, count, first);
    return false;
}

bool side_apply(side_by_side *s, const wire_record *records, uint32_t count, uint32_t room, uint32_t *used) {
    const uint32_t group = core_group(records, count), slow_group = plain_group(records, count);
    *used = group;
    s->event_count = 0;
    s->status = CORE_OK;
    if (group != slow_group) {
        fprintf(stderr, "the groups must be the same: core %u records, plain book %u\n", group, slow_group);
        *used = 0;
        return false;
    }
    if (group == 0) return true;
    apply_to_core(s, records, group, room);
    if (s->status == CORE_E_FULL) {
        s->full++;
        if (full_is_right(s, &records[group - 1])) return true;
        fprintf(stderr, "the core must have room, found none in %s\n", core_full_pool(s->fast));
        return false;
    }
    if (!answers_agree(s, plain_apply(s->slow, records, group))) return false;
    *(s->status == CORE_OK ? &s->taken : &s->refused) += 1;
    return s->status != CORE_OK || events_agree(s);
}

bool side_check(const side_by_side *s) {
    const char *fault = core_check(s->fast);
    if (fault != NULL) fprintf(stderr, "core_check: %s\n", fault);
    return fault == NULL;
}

/* ---- Where the states differ ------------------------------------------------------------------------------------- */

#define COMPARE(what, number, number2, fast, slow)                                                                     \
    do {                                                                                                               \
        if ((int64_t)(fast) != (int64_t)(slow))                                                                        \
            fprintf(stderr, "  %s %" PRIu64 " %" PRIu64 " %s: core %" PRId64 ", plain book %" PRId64 "\n", what,       \
                    (uint64_t)(number), (uint64_t)(number2), #slow, (int64_t)(fast), (int64_t)(slow));                 \
    } while (0)

static void compare_orders(const core *c, const order *o) {
    for (; o != NULL; o = o->next) {
        core_order_info i = {0};
        if (!core_order(c, o->id, &i)) fprintf(stderr, "  order %" PRIu64 ": not in the core\n", o->id);
        COMPARE("order", o->id, 0, i.account, o->account);
        COMPARE("order", o->id, 0, i.instrument, o->instrument);
        COMPARE("order", o->id, 0, i.side, o->side);
        COMPARE("order", o->id, 0, i.price_ticks, o->price);
        COMPARE("order", o->id, 0, i.rest_lots, o->rest);
        COMPARE("order", o->id, 0, i.filled_lots, o->filled);
        COMPARE("order", o->id, 0, i.client_order_id, o->client_order_id);
        COMPARE("order", o->id, 0, i.priority, o->priority);
        COMPARE("order", o->id, 0, i.lock_units, o->lock);
        COMPARE("order", o->id, 0, i.options, o->options);
        COMPARE("order", o->id, 0, i.self_trade_prevention, o->self_trade);
        COMPARE("order", o->id, 0, i.key, o->key);
    }
}

static void compare_instruments(const core *c, const instrument *in) {
    for (; in != NULL; in = in->next) {
        core_instrument_info i = {0};
        core_instrument(c, in->number, &i);
        COMPARE("instrument", in->number, 0, i.trading_state, in->state);
        COMPARE("instrument", in->number, 0, i.maker_fee_ppm, in->maker_ppm);
        COMPARE("instrument", in->number, 0, i.taker_fee_ppm, in->taker_ppm);
        COMPARE("instrument", in->number, 0, i.collar_ppm, in->collar_ppm);
        COMPARE("instrument", in->number, 0, i.quantity_lots_min, in->quantity_min);
        COMPARE("instrument", in->number, 0, i.quantity_lots_max, in->quantity_max);
        COMPARE("instrument", in->number, 0, i.notional_units_min, in->notional_min);
        COMPARE("instrument", in->number, 0, i.reference_price_ticks, in->reference);
        COMPARE("instrument", in->number, 0, i.trade_id, in->trade_id);
        COMPARE("instrument", in->number, 0, i.book_update_id, in->book_update_id);
        COMPARE("instrument", in->number, 0, i.level3_id, in->level3_id);
        for (int list = 0; list < LIST_COUNT; list++) compare_orders(c, in->lists[list]);
    }
}

static void compare_accounts(const core *c, const account *who) {
    for (; who != NULL; who = who->next) {
        core_account_info i = {0};
        core_account(c, who->number, &i);
        COMPARE("account", who->number, 0, i.firm, who->firm);
        COMPARE("account", who->number, 0, i.halted, who->halted);
        COMPARE("account", who->number, 0, i.open_orders_max, who->open_orders_max);
        COMPARE("account", who->number, 0, i.order_rate_max, who->rate_max);
        COMPARE("account", who->number, 0, i.order_rate_window_ms, who->rate_window_ms);
        COMPARE("account", who->number, 0, i.notional_units_max, who->notional_max);
        COMPARE("account", who->number, 0, i.position_lots_max, who->position_max);
        COMPARE("account", who->number, 0, i.quantity_lots_max, who->quantity_max);
        for (const balance *b = who->balances; b != NULL; b = b->next) {
            int64_t free_units = 0, locked = 0;
            core_balance(c, who->number, b->asset, &free_units, &locked);
            COMPARE("balance", who->number, b->asset, free_units, b->free);
            COMPARE("balance", who->number, b->asset, locked, b->locked);
        }
        for (const position *p = who->positions; p != NULL; p = p->next) {
            int64_t lots = 0, buy = 0, sell = 0;
            core_position(c, who->number, p->instrument, &lots, &buy, &sell);
            COMPARE("position", who->number, p->instrument, lots, p->lots);
            COMPARE("position", who->number, p->instrument, buy, p->open_buy);
            COMPARE("position", who->number, p->instrument, sell, p->open_sell);
        }
    }
}

static void compare_rest(const core *c, const plain *p) {
    for (const asset *a = p->assets; a != NULL; a = a->next) {
        core_asset_info i = {0};
        core_asset(c, a->number, &i);
        COMPARE("asset", a->number, 0, i.decimals, a->decimals);
        COMPARE("asset", a->number, 0, i.supply_units, a->supply);
        COMPARE("asset", a->number, 0, i.fees_units, a->fees);
    }
    for (const key *k = p->keys; k != NULL; k = k->next) {
        core_key_info i = {0};
        core_key(c, k->number, &i);
        COMPARE("key", k->number, 0, i.last_client_sequence, k->client_sequence);
        COMPARE("key", k->number, 0, i.last_report_number, k->report_number);
        COMPARE("key", k->number, 0, i.session, k->session);
        COMPARE("key", k->number, 0, i.account, k->account);
        COMPARE("key", k->number, 0, i.live, k->live);
        COMPARE("key", k->number, 0, i.options, k->options);
    }
    COMPARE("whole", 0, 0, core_sequence(c), p->sequence);
    COMPARE("whole", 0, 0, core_received_ns(c), p->received_ns);
    COMPARE("whole", 0, 0, core_term(c), p->term);
    COMPARE("whole", 0, 0, core_everything_halted(c), p->everything_halted);
    for (const nonce *n = p->nonces; n != NULL; n = n->next)
        if (!core_nonce_held(c, n->bytes)) fprintf(stderr, "  a nonce: not in the core\n");
}

bool side_digests_agree(const side_by_side *s) {
    const uint64_t fast = core_digest(s->fast), slow = plain_digest(s->slow);
    if (fast == slow) return true;
    fprintf(stderr, "the digests must be the same: core %016" PRIx64 ", plain book %016" PRIx64 "\n", fast, slow);
    compare_instruments(s->fast, s->slow->instruments);
    compare_accounts(s->fast, s->slow->accounts);
    compare_rest(s->fast, s->slow);
    return false;
}

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

typedef struct snapshot {
    uint8_t *bytes;
    size_t count, room;
} snapshot;

static bool keep(void *self, const void *data, size_t bytes) {
    snapshot *kept = self;
    if (kept->count + bytes > kept->room) {
        kept->room = 2 * (kept->count + bytes);
        kept->bytes = realloc(kept->bytes, kept->room);
        if (kept->bytes == NULL) abort();
    }
    memcpy(kept->bytes + kept->count, data, bytes);
    kept->count += bytes;
    return true;
}

bool side_save_and_load(side_by_side *s) {
    snapshot kept = {0};
    const char *why = "";
    if (!core_save(s->fast, keep, &kept)) abort();
    free(s->memory);
    open_core(s);
    const core_status status = core_load(s->fast, kept.bytes, kept.count, &why);
    free(kept.bytes);
    if (status != CORE_OK) fprintf(stderr, "a snapshot must load: %s\n", why);
    return status == CORE_OK;
}
