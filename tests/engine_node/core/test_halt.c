/* Halts and kills of an account, a firm, an instrument, everything (rules.md 9). */
#include "venue.h"

#include <stdio.h>

static wire_halt halt_of(uint8_t scope, uint32_t target, uint8_t action) {
    return (wire_halt){.kind = KIND_HALT, .scope = scope, .target = target, .action = action};
}

static void halt(venue *v, uint8_t scope, uint32_t target, uint8_t action) {
    wire_halt o = halt_of(scope, target, action);
    venue_send(v, &o);
    CHECK(venue_code(v) == CODE_NONE);
}

static const wire_report *event_of(const venue *v, uint8_t kind, uint32_t which) {
    for (uint32_t i = 0; i < v->count; i++)
        if (v->events[i].kind == kind && which-- == 0) return &v->events[i];
    return NULL;
}

static uint16_t code_of_order(venue *v, uint32_t account) {
    venue_order(v, venue_limit(account, 999, SIDE_BUY, 1, 1));
    const uint16_t code = venue_code(v);
    if (code == CODE_NONE) venue_cancel(v, account, 999);
    return code;
}

static void hidden(venue *v, uint32_t account, uint64_t name, uint8_t side, int64_t price_ticks) {
    const wire_order_terms terms = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN};
    venue_order_with(v, &terms, NULL, venue_limit(account, name, side, price_ticks, 1));
}

static void whole(venue *v, uint32_t account, uint64_t name, uint8_t side, int64_t price_ticks) {
    const wire_order_terms terms = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_ALL_OR_NONE};
    venue_order_with(v, &terms, NULL, venue_limit(account, name, side, price_ticks, 1));
}

static void define_second(venue *v) {
    wire_instrument i = {.kind = KIND_INSTRUMENT,
                         .instrument = 2,
                         .base_asset = 1,
                         .quote_asset = 2,
                         .trading_state = TRADING_STATE_OPEN,
                         .base_units_per_lot = 1,
                         .quote_units_per_tick_lot = 1};
    venue_send_named(v, "TWO", &i);
}

/* A few orders of each kind in instrument 1, and two in instrument 2. */
static void fill_books(venue *v) {
    define_second(v);
    for (uint32_t n = 2; n >= 1; n--) {
        wire_new_order o = venue_limit(n, 20 + n, SIDE_BUY, 50, 1);
        o.instrument = 2;
        venue_order(v, o);
    }
    hidden(v, 1, 1, SIDE_SELL, 112);
    hidden(v, 2, 2, SIDE_BUY, 92);
    whole(v, 2, 3, SIDE_SELL, 113);
    whole(v, 1, 4, SIDE_BUY, 91);
    venue_order(v, venue_limit(2, 5, SIDE_SELL, 111, 1));
    venue_order(v, venue_limit(1, 6, SIDE_SELL, 110, 1));
    venue_order(v, venue_limit(1, 7, SIDE_SELL, 110, 1));
    venue_order(v, venue_limit(3, 8, SIDE_BUY, 94, 1));
    venue_order(v, venue_limit(2, 9, SIDE_BUY, 95, 1));
    CHECK(venue_code(v) == CODE_NONE);
}

static void test_an_account_is_halted_killed_and_resumed(void) {
    static venue v;
    venue_open(&v);
    fill_books(&v);
    halt(&v, HALT_SCOPE_ACCOUNT, 2, HALT_ACTION_HALT);
    EXPECT(&v, "state 2\n");
    CHECK(v.events[0].account == 2 && v.events[0].instrument == 0 && v.events[1].quantity_lots == 0);
    CHECK(code_of_order(&v, 2) == CODE_ACCOUNT_HALTED && code_of_order(&v, 1) == CODE_NONE);
    halt(&v, HALT_SCOPE_ACCOUNT, 2, HALT_ACTION_KILL);
    EXPECT(&v, "state 2\n"
               "cancelled 22 1 by_kill done\n" /* positions in the order of their creation, then by id */
               "level3 22 remove 0@50\n"
               "book buy 1@50 of 1\n"
               "cancelled 2 1 by_kill done\n"
               "cancelled 3 1 by_kill done\n"
               "cancelled 5 1 by_kill done\n"
               "level3 5 remove 0@111\n"
               "book sell 0@111 of 0\n"
               "cancelled 9 1 by_kill done\n"
               "level3 9 remove 0@95\n"
               "book buy 0@95 of 0\n");
    const wire_report *applied = event_of(&v, EVENT_APPLIED, 0);
    CHECK(applied == &v.events[v.count - 1] && applied->quantity_lots == 5 && applied->account == 0 &&
          applied->instrument == 0);
    halt(&v, HALT_SCOPE_ACCOUNT, 2, HALT_ACTION_RESUME);
    EXPECT(&v, "state 1\n");
    CHECK(code_of_order(&v, 2) == CODE_NONE);
    halt(&v, HALT_SCOPE_ACCOUNT, 4, HALT_ACTION_KILL); /* has never traded */
    CHECK(v.count == 2 && v.events[1].quantity_lots == 0);
    venue_close(&v);
}

static void test_a_firm_is_halted_and_killed_account_by_account(void) {
    static venue v;
    venue_open_firm(&v, 7);
    fill_books(&v);
    halt(&v, HALT_SCOPE_FIRM, 7, HALT_ACTION_HALT);
    EXPECT(&v, "state 2\nstate 2\n");
    CHECK(v.events[0].account == 1 && v.events[1].account == 3);
    CHECK(code_of_order(&v, 1) == CODE_ACCOUNT_HALTED && code_of_order(&v, 2) == CODE_NONE &&
          code_of_order(&v, 3) == CODE_ACCOUNT_HALTED);
    halt(&v, HALT_SCOPE_FIRM, 7, HALT_ACTION_KILL);
    CHECK(event_of(&v, EVENT_APPLIED, 0)->quantity_lots == 6 && event_of(&v, EVENT_CANCELLED, 6) == NULL);
    uint32_t last = 0;
    for (uint32_t i = 0; i < 6; i++) {
        const wire_report *e = event_of(&v, EVENT_CANCELLED, i);
        CHECK(e->account >= last && e->code == CODE_CANCELLED_BY_KILL && e->reference == 0);
        last = e->account;
    }
    halt(&v, HALT_SCOPE_FIRM, 7, HALT_ACTION_RESUME);
    EXPECT(&v, "state 1\nstate 1\n");
    wire_halt o = halt_of(HALT_SCOPE_FIRM, 8, HALT_ACTION_HALT);
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_UNKNOWN_ACCOUNT);
    o.target = 0; /* accounts that are not defined are of no firm */
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_UNKNOWN_ACCOUNT);
    venue_close(&v);
}

static const char *const KILLED = "cancelled 9 1 by_kill done\n"
                                  "level3 9 remove 0@95\n"
                                  "book buy 0@95 of 0\n"
                                  "cancelled 8 1 by_kill done\n"
                                  "level3 8 remove 0@94\n"
                                  "book buy 0@94 of 0\n"
                                  "cancelled 6 1 by_kill done\n"
                                  "level3 6 remove 0@110\n"
                                  "book sell 1@110 of 1\n"
                                  "cancelled 7 1 by_kill done\n"
                                  "level3 7 remove 0@110\n"
                                  "book sell 0@110 of 0\n"
                                  "cancelled 5 1 by_kill done\n"
                                  "level3 5 remove 0@111\n"
                                  "book sell 0@111 of 0\n"
                                  "cancelled 2 1 by_kill done\n"
                                  "cancelled 1 1 by_kill done\n"
                                  "cancelled 4 1 by_kill done\n"
                                  "cancelled 3 1 by_kill done\n";

static void test_an_instrument_is_killed_best_level_first(void) {
    static venue v;
    char text[2048];
    venue_open(&v);
    fill_books(&v);
    halt(&v, HALT_SCOPE_INSTRUMENT, 1, HALT_ACTION_KILL);
    snprintf(text, sizeof text, "state 2\n%s", KILLED);
    EXPECT(&v, text);
    CHECK(v.events[0].instrument == 1 && v.events[0].account == 0);
    CHECK(event_of(&v, EVENT_APPLIED, 0)->quantity_lots == 9);
    CHECK(code_of_order(&v, 1) == CODE_INSTRUMENT_HALTED);
    halt(&v, HALT_SCOPE_INSTRUMENT, 1, HALT_ACTION_RESUME);
    CHECK(code_of_order(&v, 1) == CODE_NONE);
    wire_halt o = halt_of(HALT_SCOPE_INSTRUMENT, 3, HALT_ACTION_KILL);
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_UNKNOWN_INSTRUMENT);
    venue_close(&v);
}

static void test_everything_is_killed_instrument_by_instrument(void) {
    static venue v;
    char text[2048];
    venue_open(&v);
    fill_books(&v);
    halt(&v, HALT_SCOPE_EVERYTHING, 0, HALT_ACTION_KILL);
    snprintf(text, sizeof text, "state 2\n%s%s", KILLED,
             "cancelled 22 1 by_kill done\n"
             "level3 22 remove 0@50\n"
             "book buy 1@50 of 1\n"
             "cancelled 21 1 by_kill done\n"
             "level3 21 remove 0@50\n"
             "book buy 0@50 of 0\n");
    EXPECT(&v, text);
    CHECK(v.events[0].instrument == 0 && v.events[0].account == 0);
    CHECK(event_of(&v, EVENT_APPLIED, 0)->quantity_lots == 11);
    CHECK(code_of_order(&v, 1) == CODE_EVERYTHING_HALTED);
    halt(&v, HALT_SCOPE_EVERYTHING, 0, HALT_ACTION_RESUME);
    CHECK(code_of_order(&v, 1) == CODE_NONE);
    venue_close(&v);
}

static void test_a_resumed_instrument_is_uncrossed(void) {
    static venue v;
    venue_open(&v);
    wire_instrument_state o = {.kind = KIND_INSTRUMENT_STATE, .instrument = 1, .trading_state = TRADING_STATE_AUCTION};
    venue_send(&v, &o);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 100, 2));
    venue_order(&v, venue_limit(2, 2, SIDE_BUY, 100, 2));
    halt(&v, HALT_SCOPE_INSTRUMENT, 1, HALT_ACTION_HALT);
    halt(&v, HALT_SCOPE_INSTRUMENT, 1, HALT_ACTION_RESUME);
    EXPECT(&v, "trade 2@100\n"
               "filled 2 2@100 done\n"
               "filled 1 2@100 done\n"
               "level3 2 remove 0@100\n"
               "level3 1 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "book sell 0@100 of 0\n"
               "state 1\n");
    CHECK(event_of(&v, EVENT_APPLIED, 0)->instrument == 0);
    venue_close(&v);
}

static void test_a_long_kill_goes_on_in_the_next_chunk(void) {
    static venue v; /* the shadow has the smallest chunks */
    venue_open(&v);
    for (uint32_t n = 1; n <= 120; n++) {
        if (n % 4 == 0) hidden(&v, 1 + n % 3, n, SIDE_BUY, 100 + n);
        else venue_order(&v, venue_limit(1 + n % 3, n, SIDE_BUY, 100 + n, 1));
    }
    halt(&v, HALT_SCOPE_EVERYTHING, 0, HALT_ACTION_KILL);
    CHECK(event_of(&v, EVENT_APPLIED, 0)->quantity_lots == 120);
    venue_close(&v);
}

static void test_a_halt_is_refused_when_it_is_malformed(void) {
    static venue v;
    venue_open(&v);
    const wire_halt wrong[] = {halt_of(0, 1, HALT_ACTION_HALT),
                               halt_of(HALT_SCOPE_FIRM + 1, 1, HALT_ACTION_HALT),
                               halt_of(HALT_SCOPE_ACCOUNT, 1, 0),
                               halt_of(HALT_SCOPE_ACCOUNT, 1, HALT_ACTION_KILL + 1),
                               halt_of(HALT_SCOPE_EVERYTHING, 1, HALT_ACTION_KILL),
                               {.kind = KIND_HALT, .scope = 1, .action = 1, .flags = 1},
                               {.kind = KIND_HALT, .scope = 1, .action = 1, .zero = {[33] = 1}}};
    for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wire_halt o = wrong[i];
        venue_send(&v, &o);
        CHECK(venue_code(&v) == CODE_MALFORMED);
    }
    wire_halt o = halt_of(HALT_SCOPE_ACCOUNT, 5, HALT_ACTION_KILL);
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_UNKNOWN_ACCOUNT);
    venue_close(&v);
}

int main(void) {
    RUN(test_an_account_is_halted_killed_and_resumed);
    RUN(test_a_firm_is_halted_and_killed_account_by_account);
    RUN(test_an_instrument_is_killed_best_level_first);
    RUN(test_everything_is_killed_instrument_by_instrument);
    RUN(test_a_resumed_instrument_is_uncrossed);
    RUN(test_a_long_kill_goes_on_in_the_next_chunk);
    RUN(test_a_halt_is_refused_when_it_is_malformed);
    return 0;
}
