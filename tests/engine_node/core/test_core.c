/* The core alone, through its header: statuses, capacities, chunks, kept reports, snapshots.
 *
 * What each command does is held against the oracle in Python; here stands what only a C caller sees: every status
 * has a test that produces it, every pool is filled to its end, and a command that makes many events gives the same
 * ones in small chunks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_node/core/core.h"

static int checks;
#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        checks++;                                                                                                      \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #holds);                                     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- A small venue: one instrument, two rich accounts, key 1 ----------------------------------------------------- */

typedef struct venue {
    core *c;
    void *memory;
    core_options options;
    uint64_t client_sequence, now_ns;
    wire_report events[4096];
    core_events out;
} venue;

static core_options small_options(void) {
    return (core_options){.asset_count_max = 4,
                          .instrument_count_max = 3,
                          .account_count_max = 4,
                          .key_count_max = 4,
                          .order_count_max = 64,
                          .extra_count_max = 32,
                          .level_count_max = 64,
                          .ladder_count_max = 128,
                          .balance_count_max = 16,
                          .position_count_max = 8,
                          .nonce_count_max = 4,
                          .reports_kept = 8,
                          .event_mask = CORE_EVENTS_ALL,
                          .nonce_window_ns = 1000};
}

static wire_record record_of(const void *command, uint32_t key, uint64_t now_ns) {
    wire_record r = {.key = key, .received_ns = now_ns};
    memcpy(r.command, command, sizeof r.command);
    return r;
}

static core_status apply(venue *v, wire_record *records, uint32_t count) {
    v->out = (core_events){.events = v->events, .room = 4096};
    return core_apply(v->c, records, count, &v->out);
}

/* Send one client command; its client sequence is filled in (and taken back if it was not recorded). */
static core_status send(venue *v, void *command) {
    ((wire_header *)command)->client_sequence = v->client_sequence + 1;
    wire_record r = record_of(command, 1, v->now_ns);
    const core_status status = apply(v, &r, 1);
    v->client_sequence += status == CORE_OK;
    return status;
}

static core_status send_named(venue *v, const char *name, void *command) {
    wire_text text = {.kind = KIND_TEXT, .client_sequence = v->client_sequence + 1};
    memcpy(text.text, name, strlen(name));
    ((wire_header *)command)->client_sequence = v->client_sequence + 2;
    wire_record group[2] = {record_of(&text, 1, v->now_ns), record_of(command, 1, v->now_ns)};
    CHECK(core_group(group, 2) == 2);
    const core_status status = apply(v, group, 2);
    v->client_sequence += status == CORE_OK ? 2 : 0;
    return status;
}

static core_status order(venue *v, uint32_t account, uint8_t side, int64_t price_ticks, int64_t quantity_lots,
                         uint8_t time_in_force) {
    wire_new_order o = {.kind = KIND_NEW_ORDER,
                        .account = account,
                        .instrument = 1,
                        .price_ticks = price_ticks,
                        .quantity_lots = quantity_lots,
                        .side = side,
                        .order_type = ORDER_TYPE_LIMIT,
                        .time_in_force = time_in_force,
                        .self_trade_prevention = SELF_TRADE_PREVENTION_NONE};
    return send(v, &o);
}

static void open_empty(venue *v, core_options options) {
    memset(v, 0, sizeof *v);
    v->options = options;
    v->now_ns = 1000000;
    const size_t bytes = core_bytes(&options);
    CHECK(bytes > 0);
    v->memory = aligned_alloc(64, bytes);
    memset(v->memory, 0, bytes);
    CHECK(core_open(v->memory, bytes, &options, &v->c) == CORE_OK);
}

static void open_venue(venue *v, core_options options) {
    open_empty(v, options);
    wire_asset base = {.kind = KIND_ASSET, .asset = 1}, quote = {.kind = KIND_ASSET, .asset = 2};
    CHECK(send_named(v, "BASE", &base) == CORE_OK && send_named(v, "QUOTE", &quote) == CORE_OK);
    wire_instrument i = {.kind = KIND_INSTRUMENT,
                         .instrument = 1,
                         .base_asset = 1,
                         .quote_asset = 2,
                         .trading_state = TRADING_STATE_OPEN,
                         .base_units_per_lot = 1,
                         .quote_units_per_tick_lot = 1};
    CHECK(send_named(v, "BASE-QUOTE", &i) == CORE_OK);
    for (uint32_t account = 1; account <= 2; account++) {
        wire_account a = {.kind = KIND_ACCOUNT, .account = account};
        CHECK(send(v, &a) == CORE_OK);
        for (uint32_t asset = 1; asset <= 2; asset++) {
            wire_deposit d = {.kind = KIND_DEPOSIT, .account = account, .asset = asset, .amount_units = 1ll << 40};
            CHECK(send(v, &d) == CORE_OK && v->out.events[v->out.count - 1].kind == EVENT_APPLIED);
        }
    }
    CHECK(core_check(v->c) == NULL);
}

static void close_venue(venue *v) { free(v->memory); }

/* ---- Statuses ---------------------------------------------------------------------------------------------------- */

static void test_options_outside_the_limits_are_refused(void) {
    core_options o = small_options();
    core *c;
    char memory[64] __attribute__((aligned(64)));
    CHECK(core_open(memory, sizeof memory, &o, &c) == CORE_E_OPTIONS); /* too small */
    o.reports_kept = 3;
    CHECK(core_bytes(&o) == 0); /* not a power of two */
    o = small_options();
    o.order_count_max = 0;
    CHECK(core_bytes(&o) == 0);
    o = small_options();
    o.key_count_max = CORE_KEYS_MAX + 1;
    CHECK(core_bytes(&o) == 0);
    o = small_options();
    o.event_mask = 16;
    CHECK(core_bytes(&o) == 0);
}

static void test_records_that_cannot_stand_here_change_nothing(void) {
    static venue v;
    open_venue(&v, small_options());
    const uint64_t digest = core_digest(v.c);
    wire_cancel o = {
        .kind = KIND_CANCEL, .client_sequence = v.client_sequence + 2, .account = 1, .instrument = 1, .order_id = 1};
    wire_record gap = record_of(&o, 1, v.now_ns);
    CHECK(apply(&v, &gap, 1) == CORE_E_RECORD);
    o.client_sequence = v.client_sequence + 1;
    wire_record past = record_of(&o, 1, v.now_ns - 1), no_key = record_of(&o, 0, v.now_ns),
                far_key = record_of(&o, 4, v.now_ns);
    CHECK(apply(&v, &past, 1) == CORE_E_RECORD && apply(&v, &no_key, 1) == CORE_E_RECORD &&
          apply(&v, &far_key, 1) == CORE_E_RECORD);
    wire_record zero = {.received_ns = v.now_ns};
    CHECK(apply(&v, &zero, 1) == CORE_E_RECORD);
    wire_term term = {.kind = KIND_TERM, .term = 0};
    wire_record old_term = record_of(&term, 0, v.now_ns);
    CHECK(apply(&v, &old_term, 1) == CORE_E_RECORD);
    wire_digest other = {.kind = KIND_DIGEST, .state_digest = digest + 1};
    wire_record diverged = record_of(&other, 0, v.now_ns);
    CHECK(apply(&v, &diverged, 1) == CORE_E_DIVERGED);
    CHECK(core_digest(v.c) == digest && v.out.count == 0);
    other.state_digest = digest;
    wire_record agreed = record_of(&other, 0, v.now_ns);
    CHECK(apply(&v, &agreed, 1) == CORE_OK);
    close_venue(&v);
}

static void test_every_pool_can_be_full_and_says_its_name(void) {
    static venue v;
    struct {
        const char *name;
        size_t offset;
        uint32_t least;
    } pools[] = {{"order_count_max", offsetof(core_options, order_count_max), 3},
                 {"level_count_max", offsetof(core_options, level_count_max), 3},
                 {"ladder_count_max", offsetof(core_options, ladder_count_max), 24}};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        core_options o = small_options();
        memcpy((char *)&o + pools[i].offset, &pools[i].least, sizeof pools[i].least);
        open_venue(&v, o);
        core_status status = CORE_OK;
        for (int64_t price = 1; status == CORE_OK && price < 100000000; price *= 3)
            status = order(&v, 1, SIDE_BUY, price, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED);
        CHECK(status == CORE_E_FULL && strcmp(core_full_pool(v.c), pools[i].name) == 0);
        const uint64_t digest = core_digest(v.c), sequence = core_sequence(v.c);
        CHECK(order(&v, 2, SIDE_BUY, 7, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_E_FULL);
        CHECK(core_digest(v.c) == digest && core_sequence(v.c) == sequence && v.out.count == 0);
        wire_mass_cancel m = {.kind = KIND_MASS_CANCEL, .account = 1};
        CHECK(send(&v, &m) == CORE_OK && core_check(v.c) == NULL);
        CHECK(order(&v, 2, SIDE_BUY, 7, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK); /* room again */
        close_venue(&v);
    }
}

static void test_nonces_fill_up_and_make_room_when_their_time_has_passed(void) {
    static venue v;
    open_venue(&v, small_options());
    for (uint8_t i = 0; i < 6; i++) {
        wire_nonce nonce = {
            .kind = KIND_NONCE, .client_sequence = v.client_sequence + 1, .timestamp_ns = v.now_ns, .nonce = {i}};
        wire_cancel o = {.kind = KIND_CANCEL,
                         .client_sequence = v.client_sequence + 2,
                         .account = 1,
                         .instrument = 1,
                         .order_id = 1};
        if (i == 5) v.now_ns += v.options.nonce_window_ns + 1;
        wire_record group[2] = {record_of(&nonce, 1, v.now_ns), record_of(&o, 1, v.now_ns)};
        if (i == 5) ((wire_nonce *)group[0].command)->timestamp_ns = v.now_ns;
        const core_status status = apply(&v, group, 2);
        CHECK(status == (i == 4 ? CORE_E_FULL : CORE_OK));
        if (status == CORE_OK) v.client_sequence += 2;
        else CHECK(strcmp(core_full_pool(v.c), "nonce_count_max") == 0);
    }
    CHECK(core_check(v.c) == NULL);
    close_venue(&v);
}

/* ---- Chunks ------------------------------------------------------------------------------------------------------ */

static void test_small_chunks_give_the_same_events_as_a_large_one(void) {
    static venue v;
    static wire_report whole[4096], pieces[4096];
    uint32_t whole_count = 0, pieces_count = 0;
    for (int small = 0; small < 2; small++) {
        open_venue(&v, small_options());
        for (int64_t i = 0; i < 60; i++)
            CHECK(order(&v, 1, SIDE_SELL, 100 + i / 3, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
        wire_new_order o = {.kind = KIND_NEW_ORDER,
                            .client_sequence = v.client_sequence + 1,
                            .account = 2,
                            .instrument = 1,
                            .price_ticks = 200,
                            .quantity_lots = 70,
                            .side = SIDE_BUY,
                            .order_type = ORDER_TYPE_LIMIT,
                            .time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL,
                            .self_trade_prevention = SELF_TRADE_PREVENTION_NONE};
        wire_record r = record_of(&o, 1, v.now_ns);
        v.out = (core_events){.events = v.events, .room = small ? CORE_EVENTS_CHUNK_MIN : 4096};
        wire_report *to = small ? pieces : whole;
        uint32_t *count = small ? &pieces_count : &whole_count;
        core_status status = core_apply(v.c, &r, 1, &v.out);
        uint32_t chunks = 1;
        for (;; chunks++) {
            memcpy(to + *count, v.events, v.out.count * sizeof *to);
            *count += v.out.count;
            if (status != CORE_MORE) break;
            status = core_next(v.c, &v.out);
        }
        CHECK(status == CORE_OK && (small ? chunks > 3 : chunks == 1) && core_check(v.c) == NULL);
        close_venue(&v);
    }
    CHECK(whole_count == pieces_count && memcmp(whole, pieces, whole_count * sizeof *whole) == 0);
    CHECK(whole_count == 1 + 60 * 4 + 20 * 2 + 1); /* each level left: book_update and top */
    for (uint32_t i = 0; i < whole_count; i++) CHECK(whole[i].n == i);
}

static void test_events_nobody_asked_for_are_counted_all_the_same(void) {
    static venue all, few;
    core_options o = small_options();
    open_venue(&all, o);
    o.event_mask = CORE_EVENTS_REPORTS;
    open_venue(&few, o);
    for (int64_t i = 0; i < 8; i++) {
        CHECK(order(&all, 1, SIDE_SELL, 100 + i, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
        CHECK(order(&few, 1, SIDE_SELL, 100 + i, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
        CHECK(all.out.count == (i == 0 ? 4 : 3) && few.out.count == 1); /* the first makes a top */
    }
    CHECK(order(&few, 2, SIDE_BUY, 105, 3, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK &&
          order(&all, 2, SIDE_BUY, 105, 3, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
    CHECK(few.out.count == 7 && core_digest(all.c) == core_digest(few.c));
    close_venue(&all);
    close_venue(&few);
}

/* ---- Reports kept ------------------------------------------------------------------------------------------------ */

static void test_the_last_reports_of_a_key_are_kept_and_older_ones_are_not(void) {
    static venue v;
    open_venue(&v, small_options());
    for (int i = 0; i < 20; i++)
        CHECK(order(&v, 1, SIDE_SELL, 100 + i, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
    core_key_info key;
    CHECK(core_key(v.c, 1, &key) && key.last_client_sequence == v.client_sequence);
    const uint64_t last = key.last_report_number;
    CHECK(core_report(v.c, 1, last + 1) == NULL && core_report(v.c, 1, last - 8) == NULL &&
          core_report(v.c, 1, 0) == NULL && core_report(v.c, 99, 1) == NULL);
    uint64_t seen = 0;
    for (uint64_t number = last - 7; number <= last;) {
        uint32_t count;
        const wire_report *run = core_reports(v.c, 1, number, &count);
        CHECK(run != NULL && count >= 1);
        for (uint32_t i = 0; i < count; i++, seen++) CHECK(run[i].report_number == number + i && run[i].key == 1);
        number += count;
    }
    CHECK(seen == 8);
    close_venue(&v);
}

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

typedef struct bytes {
    char at[1 << 20];
    size_t count;
} bytes;

static bool keep(void *self, const void *data, size_t count) {
    bytes *b = self;
    if (b->count + count > sizeof b->at) return false;
    memcpy(b->at + b->count, data, count);
    b->count += count;
    return true;
}

static core_status load_into(venue *v, const core_options *options, const void *data, size_t count, const char **why) {
    open_empty(v, *options);
    return core_load(v->c, data, count, why);
}

static void test_a_snapshot_loads_to_the_same_state_and_every_damaged_byte_is_noticed(void) {
    static venue v, w;
    static bytes snapshot;
    const char *why;
    open_venue(&v, small_options());
    for (int i = 0; i < 20; i++)
        CHECK(order(&v, 1 + i % 2, i % 2 ? SIDE_SELL : SIDE_BUY, 100 + i % 2 * 5 + i % 3, 1 + i,
                    TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
    CHECK(core_save(v.c, keep, &snapshot));
    CHECK(load_into(&w, &v.options, snapshot.at, snapshot.count, &why) == CORE_OK &&
          core_digest(w.c) == core_digest(v.c));
    w.client_sequence = v.client_sequence, w.now_ns = v.now_ns;
    CHECK(order(&v, 2, SIDE_SELL, 1, 30, TIME_IN_FORCE_IMMEDIATE_OR_CANCEL) == CORE_OK &&
          order(&w, 2, SIDE_SELL, 1, 30, TIME_IN_FORCE_IMMEDIATE_OR_CANCEL) == CORE_OK);
    CHECK(v.out.count == w.out.count && memcmp(v.events, w.events, v.out.count * sizeof *v.events) == 0 &&
          core_digest(w.c) == core_digest(v.c));
    close_venue(&w);
    for (size_t i = 0; i < snapshot.count; i += 7) {
        snapshot.at[i] ^= 0x20;
        CHECK(load_into(&w, &v.options, snapshot.at, snapshot.count, &why) == CORE_E_SNAPSHOT && why != NULL);
        close_venue(&w);
        snapshot.at[i] ^= 0x20;
    }
    for (size_t count = 0; count < snapshot.count; count += 8) {
        CHECK(load_into(&w, &v.options, snapshot.at, count, &why) == CORE_E_SNAPSHOT);
        close_venue(&w);
    }
    core_options smaller = v.options;
    smaller.order_count_max = 10;
    CHECK(load_into(&w, &smaller, snapshot.at, snapshot.count, &why) == CORE_E_SNAPSHOT &&
          strstr(why, "order_count_max") != NULL);
    close_venue(&w);
    close_venue(&v);
}

static void saves_and_loads(venue *v) {
    static venue w;
    static bytes snapshot;
    const char *why = NULL;
    snapshot.count = 0;
    CHECK(core_check(v->c) == NULL && core_save(v->c, keep, &snapshot));
    CHECK(load_into(&w, &v->options, snapshot.at, snapshot.count, &why) == CORE_OK);
    CHECK(core_digest(w.c) == core_digest(v->c));
    close_venue(&w);
}

static void test_a_full_core_can_be_saved_and_loaded(void) {
    static venue v;
    const struct {
        size_t offset;
        uint32_t least;
    } pools[] = {{offsetof(core_options, order_count_max), 3},
                 {offsetof(core_options, level_count_max), 2},
                 {offsetof(core_options, ladder_count_max), 17},
                 {offsetof(core_options, balance_count_max), 6},
                 {offsetof(core_options, position_count_max), 1}};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        core_options o = small_options();
        memcpy((char *)&o + pools[i].offset, &pools[i].least, sizeof pools[i].least);
        open_venue(&v, o);
        const int64_t prices[] = {100, 100, 101, 1 << 20, 1ll << 40};
        for (size_t n = 0; n < sizeof prices / sizeof *prices; n++)
            for (uint32_t account = 1; account <= 2; account++)
                (void)order(&v, account, SIDE_BUY, prices[n], 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED);
        saves_and_loads(&v);
        wire_account a = {.kind = KIND_ACCOUNT, .account = 3};
        CHECK(send(&v, &a) == CORE_OK);
        wire_deposit d = {.kind = KIND_DEPOSIT, .account = 3, .asset = 1, .amount_units = 1};
        (void)send(&v, &d);
        saves_and_loads(&v);
        close_venue(&v);
    }
}

static void test_what_a_record_means_does_not_depend_on_capacities(void) {
    static venue v;
    open_venue(&v, small_options());
    wire_account beyond = {.kind = KIND_ACCOUNT, .account = 4},
                 never = {.kind = KIND_ACCOUNT, .account = ACCOUNT_NUMBER_MAX + 1};
    const uint64_t digest = core_digest(v.c);
    CHECK(send(&v, &beyond) == CORE_E_FULL && strcmp(core_full_pool(v.c), "account_count_max") == 0);
    CHECK(core_digest(v.c) == digest);
    CHECK(send(&v, &never) == CORE_OK && v.events[0].code == CODE_UNKNOWN_ACCOUNT);
    wire_asset asset = {.kind = KIND_ASSET, .asset = 4};
    CHECK(send_named(&v, "MORE", &asset) == CORE_E_FULL && strcmp(core_full_pool(v.c), "asset_count_max") == 0);
    wire_instrument instrument = {.kind = KIND_INSTRUMENT, .instrument = 3};
    CHECK(send_named(&v, "MORE", &instrument) == CORE_E_FULL);
    CHECK(strcmp(core_full_pool(v.c), "instrument_count_max") == 0);
    wire_term term = {.kind = KIND_TERM, .term = 1, .nonce_window_ns = 7};
    wire_record begins = record_of(&term, 0, v.now_ns);
    CHECK(apply(&v, &begins, 1) == CORE_OK); /* from here on 7 ns rule, whatever the option says */
    wire_nonce nonce = {.kind = KIND_NONCE, .client_sequence = v.client_sequence + 1, .timestamp_ns = v.now_ns - 8};
    wire_cancel o = {
        .kind = KIND_CANCEL, .client_sequence = v.client_sequence + 2, .account = 1, .instrument = 1, .order_id = 1};
    wire_record group[2] = {record_of(&nonce, 1, v.now_ns), record_of(&o, 1, v.now_ns)};
    CHECK(apply(&v, group, 2) == CORE_OK && v.events[0].code == CODE_NONCE_STALE);
    saves_and_loads(&v);
    close_venue(&v);
}

static void test_a_position_stays_within_what_sums_can_hold(void) {
    static venue v;
    open_venue(&v, small_options());
    wire_asset dust = {.kind = KIND_ASSET, .asset = 3};
    CHECK(send_named(&v, "DUST", &dust) == CORE_OK);
    wire_deposit rich = {.kind = KIND_DEPOSIT, .account = 1, .asset = 2, .amount_units = UNITS_MAX - (3ll << 40)};
    CHECK(send(&v, &rich) == CORE_OK && v.events[0].kind == EVENT_BALANCE);
    uint32_t taken = 0;
    for (int i = 0; i < 60; i++) {
        CHECK(order(&v, 1, SIDE_BUY, 1, QUANTITY_LOTS_MAX, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
        if (v.events[0].kind == EVENT_REJECTED) break;
        taken++;
    }
    int64_t position, open_buy, open_sell;
    CHECK(taken > 0 && core_position(v.c, 1, 1, &position, &open_buy, &open_sell) && position + open_buy <= UNITS_MAX);
    close_venue(&v);
}

/* ---- Ladders ----------------------------------------------------------------------------------------------------- */

static void test_levels_far_apart_come_and_go_in_price_order(void) {
    static venue v;
    core_options o = small_options();
    o.ladder_count_max = 2048;
    open_venue(&v, o);
    uint64_t seed = 42;
    for (int i = 0; i < 4000; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        const uint32_t bits = 1 + (uint32_t)(seed >> 59);
        const int64_t price = 1 + (int64_t)((seed >> 20) & ((1ull << bits) - 1));
        core_order_info resting[64];
        const uint32_t count = core_account_orders(v.c, 1, 0, resting, 64);
        if (count >= 40) {
            wire_cancel cancel = {
                .kind = KIND_CANCEL, .account = 1, .instrument = 1, .order_id = resting[seed % count].order_id};
            CHECK(send(&v, &cancel) == CORE_OK);
        } else {
            CHECK(order(&v, 1, SIDE_BUY, price, 1, TIME_IN_FORCE_GOOD_TILL_CANCELLED) == CORE_OK);
        }
        if (i % 16 == 0) CHECK(core_check(v.c) == NULL);
    }
    core_level_info levels[64];
    const uint32_t count = core_levels(v.c, 1, SIDE_BUY, levels, 64);
    for (uint32_t i = 1; i < count; i++) CHECK(levels[i].price_ticks < levels[i - 1].price_ticks);
    close_venue(&v);
}

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        test();                                                                                                        \
        printf("ok %s\n", #test);                                                                                      \
    } while (0)

int main(void) {
    RUN(test_options_outside_the_limits_are_refused);
    RUN(test_records_that_cannot_stand_here_change_nothing);
    RUN(test_every_pool_can_be_full_and_says_its_name);
    RUN(test_nonces_fill_up_and_make_room_when_their_time_has_passed);
    RUN(test_small_chunks_give_the_same_events_as_a_large_one);
    RUN(test_events_nobody_asked_for_are_counted_all_the_same);
    RUN(test_the_last_reports_of_a_key_are_kept_and_older_ones_are_not);
    RUN(test_a_snapshot_loads_to_the_same_state_and_every_damaged_byte_is_noticed);
    RUN(test_a_full_core_can_be_saved_and_loaded);
    RUN(test_what_a_record_means_does_not_depend_on_capacities);
    RUN(test_a_position_stays_within_what_sums_can_hold);
    RUN(test_levels_far_apart_come_and_go_in_price_order);
    printf("%d checks\n", checks);
    return 0;
}
