/* A small venue for tests of the core: see venue.h. */
#include "venue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void venue_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: must hold: %s\n", file, line, what);
    exit(1);
}

void venue_passed(const char *name) { printf("ok %s\n", name); }

core_options venue_options(void) {
    return (core_options){.asset_count_max = 4,
                          .instrument_count_max = 4,
                          .account_count_max = 8,
                          .key_count_max = VENUE_KEYS,
                          .order_count_max = 512,
                          .extra_count_max = 256,
                          .level_count_max = 1024,
                          .ladder_count_max = 16384,
                          .balance_count_max = 16,
                          .position_count_max = 16,
                          .nonce_count_max = 4,
                          .reports_kept = 8,
                          .event_mask = CORE_EVENTS_ALL,
                          .nonce_window_ns = 1000};
}

static core *open_core(const core_options *options, void **memory) {
    const size_t bytes = core_bytes(options);
    core *c;
    CHECK(bytes > 0);
    *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memset(*memory, 0, bytes);
    core_options seeded = *options;
    seeded.hash_seed = (uint64_t)(uintptr_t)*memory; /* where numbers fall in an index means nothing */
    CHECK(core_open(*memory, bytes, &seeded, &c) == CORE_OK);
    return c;
}

/* ---- Sending ----------------------------------------------------------------------------------------------------- */

typedef struct saved {
    char bytes[1 << 20];
    size_t size;
} saved;

static bool keep(void *self, const void *data, size_t bytes) {
    saved *s = self;
    CHECK(s->size + bytes <= sizeof s->bytes);
    memcpy(s->bytes + s->size, data, bytes);
    s->size += bytes;
    return true;
}

static void save_and_load_shadow(venue *v) {
    static saved s;
    const char *why = "";
    s.size = 0;
    CHECK(core_save(v->shadow, keep, &s));
    free(v->shadow_memory);
    v->shadow = open_core(&v->options, &v->shadow_memory);
    if (core_load(v->shadow, s.bytes, s.size, &why) != CORE_OK) venue_fail(__FILE__, __LINE__, why);
}

static core_status apply_to_shadow(venue *v, const wire_record *records, uint32_t count) {
    wire_report chunk[CORE_EVENTS_CHUNK_MIN];
    core_events out = {.events = chunk, .room = CORE_EVENTS_CHUNK_MIN};
    uint32_t seen = 0;
    core_status status = core_apply(v->shadow, records, count, &out);
    for (;; status = core_next(v->shadow, &out)) {
        CHECK(seen + out.count <= v->count);
        CHECK(out.count == 0 || memcmp(chunk, v->events + seen, out.count * sizeof *chunk) == 0);
        seen += out.count;
        if (status != CORE_MORE) break;
    }
    CHECK(seen == v->count);
    return status;
}

static void walk(const core *c) {
    const char *wrong = core_check(c);
    if (wrong != NULL) venue_fail(__FILE__, __LINE__, wrong);
}

static void remember_ids(venue *v) {
    for (uint32_t i = 0; i < v->count; i++) {
        const wire_report *e = &v->events[i];
        if (e->kind == EVENT_ACCEPTED && e->client_order_id < VENUE_IDS) v->ids[e->client_order_id] = e->order_id;
    }
}

static core_status apply(venue *v, const wire_record *records, uint32_t count) {
    core_events out = {.events = v->events, .room = VENUE_EVENTS};
    CHECK(core_group(records, count) == count);
    const core_status status = core_apply(v->c, records, count, &out);
    CHECK(status != CORE_MORE);
    v->count = out.count;
    CHECK(apply_to_shadow(v, records, count) == status);
    walk(v->c);
    walk(v->shadow);
    CHECK(core_digest(v->c) == core_digest(v->shadow));
    if (++v->commands % 7 == 0) save_and_load_shadow(v);
    remember_ids(v);
    return status;
}

static wire_record record_of(const venue *v, const void *command, uint32_t key, uint64_t client_sequence) {
    wire_record r = {.key = key, .received_ns = v->now_ns};
    memcpy(r.command, command, sizeof r.command);
    ((wire_header *)r.command)->client_sequence = client_sequence;
    return r;
}

core_status venue_try(venue *v, const void *const *prefixes, uint32_t count, void *command) {
    wire_record records[CORE_GROUP_MAX];
    const uint64_t next = v->client_sequence[v->key] + 1;
    for (uint32_t i = 0; i < count; i++) records[i] = record_of(v, prefixes[i], v->key, next + i);
    records[count] = record_of(v, command, v->key, next + count);
    const core_status status = apply(v, records, count + 1);
    if (status == CORE_OK) v->client_sequence[v->key] += count + 1;
    return status;
}

void venue_send(venue *v, void *command) { CHECK(venue_try(v, NULL, 0, command) == CORE_OK); }

void venue_send_named(venue *v, const char *name, void *command) {
    wire_text text = {.kind = KIND_TEXT};
    memcpy(text.text, name, strlen(name));
    const void *prefixes[] = {&text};
    CHECK(venue_try(v, prefixes, 1, command) == CORE_OK);
}

void venue_system(venue *v, uint32_t key, const void *command) {
    const wire_record r = record_of(v, command, key, 0);
    CHECK(apply(v, &r, 1) == CORE_OK);
}

void venue_tick(venue *v, uint64_t now_ns) {
    const wire_clock_tick tick = {.kind = KIND_CLOCK_TICK};
    v->now_ns = now_ns;
    venue_system(v, 0, &tick);
}

static void open_all(venue *v, core_options options, uint32_t firm_of_odd) {
    memset(v, 0, sizeof *v);
    v->options = options;
    v->now_ns = 1000000;
    v->key = 1;
    v->c = open_core(&options, &v->memory);
    v->shadow = open_core(&options, &v->shadow_memory);
    wire_asset base = {.kind = KIND_ASSET, .asset = 1}, quote = {.kind = KIND_ASSET, .asset = 2};
    venue_send_named(v, "BASE", &base);
    venue_send_named(v, "QUOTE", &quote);
    wire_instrument i = {.kind = KIND_INSTRUMENT,
                         .instrument = 1,
                         .base_asset = 1,
                         .quote_asset = 2,
                         .trading_state = TRADING_STATE_OPEN,
                         .base_units_per_lot = 1,
                         .quote_units_per_tick_lot = 1};
    venue_send_named(v, "BASE-QUOTE", &i);
    for (uint32_t account = 1; account <= 4; account++) {
        wire_account a = {.kind = KIND_ACCOUNT, .account = account, .firm = account % 2 * firm_of_odd};
        venue_send(v, &a);
        for (uint32_t asset = 1; asset <= 2; asset++) {
            wire_deposit d = {.kind = KIND_DEPOSIT, .account = account, .asset = asset, .amount_units = 1ll << 30};
            venue_send(v, &d);
        }
    }
}

void venue_open_with(venue *v, core_options options) { open_all(v, options, 0); }

void venue_open(venue *v) { venue_open_with(v, venue_options()); }

void venue_open_firm(venue *v, uint32_t firm) { open_all(v, venue_options(), firm); }

void venue_close(venue *v) {
    free(v->memory);
    free(v->shadow_memory);
}

wire_new_order venue_limit(uint32_t account, uint64_t client_order_id, uint8_t side, int64_t price_ticks,
                           int64_t lots) {
    return (wire_new_order){.kind = KIND_NEW_ORDER,
                            .account = account,
                            .instrument = 1,
                            .price_ticks = price_ticks,
                            .quantity_lots = lots,
                            .client_order_id = client_order_id,
                            .side = side,
                            .order_type = ORDER_TYPE_LIMIT,
                            .time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED,
                            .self_trade_prevention = SELF_TRADE_PREVENTION_NONE};
}

void venue_order_with(venue *v, const wire_order_terms *terms, const wire_order_link *link, wire_new_order o) {
    const void *prefixes[2] = {NULL};
    uint32_t count = 0;
    if (terms != NULL) prefixes[count++] = terms;
    if (link != NULL) prefixes[count++] = link;
    CHECK(venue_try(v, prefixes, count, &o) == CORE_OK);
}

wire_new_order venue_mode(wire_new_order o, uint8_t mode) {
    o.self_trade_prevention = mode;
    return o;
}

core_order_info venue_info(const venue *v, uint64_t name) {
    core_order_info info;
    CHECK(core_order(v->c, v->ids[name], &info));
    return info;
}

void venue_replace(venue *v, uint64_t name, int64_t price_ticks, int64_t lots) {
    wire_replace o = {.kind = KIND_REPLACE,
                      .account = venue_info(v, name).account,
                      .instrument = 1,
                      .order_id = v->ids[name],
                      .price_ticks = price_ticks,
                      .quantity_lots = lots};
    venue_send(v, &o);
}

void venue_order(venue *v, wire_new_order o) { venue_order_with(v, NULL, NULL, o); }

void venue_cancel(venue *v, uint32_t account, uint64_t client_order_id) {
    wire_cancel o = {
        .kind = KIND_CANCEL, .account = account, .instrument = 1, .target_client_order_id = client_order_id};
    venue_send(v, &o);
}

wire_order_link venue_pair(uint64_t client_order_id) {
    return (wire_order_link){
        .kind = KIND_ORDER_LINK, .target_client_order_id = client_order_id, .action = LINK_ACTION_ONE_CANCELS_OTHER};
}

/* ---- Events as text ---------------------------------------------------------------------------------------------- */

static uint64_t name_of(const venue *v, uint64_t order_id) {
    for (uint64_t name = 1; name < VENUE_IDS; name++)
        if (v->ids[name] == order_id) return name;
    return 0;
}

static const char *reason(uint16_t code) {
    static const char *const reasons[] = {[CODE_CANCELLED_BY_REQUEST] = "by_request",
                                          [CODE_CANCELLED_BY_MASS_CANCEL] = "by_mass_cancel",
                                          [CODE_CANCELLED_UNFILLED] = "unfilled",
                                          [CODE_CANCELLED_SELF_TRADE] = "self_trade",
                                          [CODE_CANCELLED_ON_DISCONNECT] = "on_disconnect",
                                          [CODE_CANCELLED_AMOUNT_REACHED] = "amount_reached",
                                          [CODE_CANCELLED_LINKED] = "linked",
                                          [CODE_CANCELLED_EXPIRED] = "expired",
                                          [CODE_CANCELLED_SESSION_CLOSED] = "session_closed",
                                          [CODE_CANCELLED_COUNTDOWN] = "countdown",
                                          [CODE_CANCELLED_BY_KILL] = "by_kill",
                                          [CODE_CANCELLED_BY_BREAKER] = "by_breaker",
                                          [CODE_CANCELLED_WOULD_TAKE] = "would_take"};
    return code < sizeof reasons / sizeof *reasons && reasons[code] != NULL ? reasons[code] : "?";
}

/* One event as a line; nothing for those that are left out. */
static int line_of(const venue *v, const wire_report *e, char *at, size_t room) {
    static const char *const actions[] = {"?", "add", "change", "remove"};
    const char *side = e->flags & REPORT_FLAG_SELL ? "sell" : "buy";
    const char *done = e->flags & REPORT_FLAG_DONE ? " done" : "";
    const unsigned long long name = e->client_order_id, id = name_of(v, e->order_id);
    const long long price = e->price_ticks, lots = e->quantity_lots, left = e->remaining_lots;
    switch (e->kind) {
    case EVENT_ACCEPTED: return snprintf(at, room, "accepted %llu %s %lld@%lld\n", name, side, lots, price);
    case EVENT_REJECTED: return snprintf(at, room, "rejected %u\n", e->code);
    case EVENT_TRIGGERED: return snprintf(at, room, "triggered %llu %s %lld@%lld\n", name, side, lots, price);
    case EVENT_REPLACED: return snprintf(at, room, "replaced %llu %s %lld@%lld\n", name, side, left, price);
    case EVENT_FILLED: return snprintf(at, room, "filled %llu %lld@%lld%s\n", name, lots, price, done);
    case EVENT_CANCELLED: return snprintf(at, room, "cancelled %llu %lld %s%s\n", name, lots, reason(e->code), done);
    case EVENT_TRADE: return snprintf(at, room, "trade %lld@%lld\n", lots, price);
    case EVENT_LEVEL3: return snprintf(at, room, "level3 %llu %s %lld@%lld\n", id, actions[e->code & 3], lots, price);
    case EVENT_BOOK_UPDATE: return snprintf(at, room, "book %s %lld@%lld of %lld\n", side, lots, price, left);
    case EVENT_STATE: return snprintf(at, room, "state %u\n", e->code);
    default: return 0;
    }
}

void venue_expect(const venue *v, const char *text, const char *file, int line) {
    static char got[1 << 18];
    size_t used = 0;
    got[0] = '\0';
    for (uint32_t i = 0; i < v->count; i++) used += (size_t)line_of(v, &v->events[i], got + used, sizeof got - used);
    const char *at = got;
    for (const char *want = text;; want++) {
        if (want == text || want[-1] == '\n')
            while (*want == ' ') want++;
        if (*want != *at) break;
        if (*want == '\0') return;
        at++;
    }
    fprintf(stderr, "%s:%d: events must be\n%s\nand were\n%s", file, line, text, got);
    exit(1);
}

uint16_t venue_code(const venue *v) {
    return v->count > 0 && v->events[0].kind == EVENT_REJECTED ? v->events[0].code : CODE_NONE;
}

int64_t venue_locked(const venue *v, uint32_t account, uint32_t asset) {
    int64_t free_units = 0, locked_units = 0;
    (void)core_balance(v->c, account, asset, &free_units, &locked_units);
    return locked_units;
}
