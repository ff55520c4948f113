/* What time brings: expiry, countdowns, the close of a day (rules.md 16 and 17). */
#include "venue.h"

static const uint64_t MS = 1000000;

static wire_countdown_cancel countdown(uint32_t account, uint32_t timeout_ms) {
    return (wire_countdown_cancel){.kind = KIND_COUNTDOWN_CANCEL, .account = account, .timeout_ms = timeout_ms};
}

static void set_countdown(venue *v, uint32_t key, uint32_t account, uint32_t timeout_ms) {
    wire_countdown_cancel o = countdown(account, timeout_ms);
    v->key = key;
    venue_send(v, &o);
    CHECK(venue_code(v) == CODE_NONE);
}

static uint32_t events_of(const venue *v, uint8_t kind) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->count; i++) count += v->events[i].kind == kind;
    return count;
}

static void test_a_countdown_that_ends_cancels_what_its_key_entered_in_its_account(void) {
    static venue v;
    venue_open(&v);
    const uint64_t start_ns = v.now_ns;
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    venue_order(&v, venue_limit(2, 2, SIDE_BUY, 100, 5)); /* another account */
    v.key = 2;
    venue_order(&v, venue_limit(1, 3, SIDE_BUY, 99, 5)); /* another key */
    v.key = 1;
    venue_order(&v, venue_limit(1, 4, SIDE_SELL, 101, 5));
    set_countdown(&v, 1, 1, 10);
    CHECK(v.count == 1 && v.events[0].kind == EVENT_APPLIED && v.events[0].account == 1);
    venue_tick(&v, start_ns + 10 * MS - 1);
    EXPECT(&v, "");
    venue_tick(&v, start_ns + 10 * MS);
    EXPECT(&v, "cancelled 1 5 countdown done\n"
               "level3 1 remove 0@100\n"
               "book buy 5@100 of 1\n"
               "cancelled 4 5 countdown done\n"
               "level3 4 remove 0@101\n"
               "book sell 0@101 of 0\n");
    CHECK(events_of(&v, EVENT_APPLIED) == 0);
    venue_order(&v, venue_limit(1, 5, SIDE_BUY, 98, 5));
    venue_tick(&v, start_ns + 1000 * MS); /* it has ended once for all */
    EXPECT(&v, "");
    venue_close(&v);
}

static void test_a_countdown_renewed_in_time_does_not_end_and_timeout_0_takes_it_away(void) {
    static venue v;
    venue_open(&v);
    const uint64_t start_ns = v.now_ns;
    core_key_info k;
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    set_countdown(&v, 1, 1, 10);
    CHECK(core_key(v.c, 1, &k) && k.countdown_ns == start_ns + 10 * MS && k.countdown_account == 1);
    venue_tick(&v, start_ns + 9 * MS);
    set_countdown(&v, 1, 1, 10);
    venue_tick(&v, start_ns + 12 * MS); /* the first would have ended */
    EXPECT(&v, "");
    set_countdown(&v, 1, 2, 0);
    CHECK(core_key(v.c, 1, &k) && k.countdown_ns == 0 && k.countdown_account == 2);
    venue_tick(&v, start_ns + 1000 * MS);
    EXPECT(&v, "");
    venue_close(&v);
}

static void test_countdowns_that_end_together_go_by_the_number_of_the_key(void) {
    static venue v;
    venue_open(&v);
    v.key = 3;
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    v.key = 2;
    venue_order(&v, venue_limit(1, 2, SIDE_BUY, 101, 5));
    set_countdown(&v, 3, 1, 1); /* ends first, and goes second */
    set_countdown(&v, 2, 1, 2);
    set_countdown(&v, 1, 1, 1000);
    venue_tick(&v, v.now_ns + 2 * MS);
    EXPECT(&v, "cancelled 2 5 countdown done\n"
               "level3 2 remove 0@101\n"
               "book buy 0@101 of 0\n"
               "cancelled 1 5 countdown done\n"
               "level3 1 remove 0@100\n"
               "book buy 0@100 of 0\n");
    core_key_info k;
    CHECK(core_key(v.c, 1, &k) && k.countdown_ns != 0);
    venue_close(&v);
}

static void test_a_long_countdown_sweep_goes_on_in_the_next_chunk(void) {
    static venue v;
    venue_open(&v);
    for (uint64_t n = 1; n <= 100; n++) venue_order(&v, venue_limit(1, n, SIDE_BUY, 100 + (int64_t)n, 1));
    set_countdown(&v, 1, 1, 1);
    venue_tick(&v, v.now_ns + MS);
    CHECK(events_of(&v, EVENT_CANCELLED) == 100);
    core_order_info left;
    CHECK(core_account_orders(v.c, 1, 0, &left, 1) == 0);
    venue_close(&v);
}

static void test_a_countdown_is_refused_with_the_first_code_that_is_wrong(void) {
    static venue v;
    venue_open(&v);
    wire_countdown_cancel o = countdown(7, 10);
    o.client_order_id = 42;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_UNKNOWN_ACCOUNT && v.events[0].account == 7 && v.events[0].client_order_id == 42);
    o.zero[23] = 1;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_MALFORMED);
    o = countdown(1, 10);
    o.flags = 1;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_MALFORMED);
    venue_close(&v);
}

static void test_a_countdown_never_wraps_around_the_end_of_time(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    v.now_ns = UINT64_MAX - 5;
    set_countdown(&v, 1, 1, 1);
    venue_tick(&v, UINT64_MAX - 1);
    EXPECT(&v, "");
    venue_tick(&v, UINT64_MAX);
    CHECK(events_of(&v, EVENT_CANCELLED) == 1);
    venue_close(&v);
}

/* ---- Expiry and the close of a day ---------------------------------------------------------------------------- */

static wire_order_terms until(uint64_t expire_ns) {
    return (wire_order_terms){.kind = KIND_ORDER_TERMS, .expire_ns = expire_ns};
}

static void test_orders_expire_by_their_time_and_then_by_id_and_not_before(void) {
    static venue v;
    venue_open(&v);
    const uint64_t now_ns = v.now_ns;
    const uint64_t ends_ns[] = {30, 10, 20, 10, 20, 40};
    for (size_t n = 0; n < sizeof ends_ns / sizeof *ends_ns; n++) {
        const wire_order_terms terms = until(now_ns + ends_ns[n]);
        venue_order_with(&v, &terms, NULL, venue_limit(1 + n % 2, 1 + n, SIDE_BUY, 100 + (int64_t)n, 1));
    }
    CHECK(core_due_ns(v.c) == now_ns + 10);
    venue_tick(&v, now_ns + 9);
    EXPECT(&v, "");
    venue_cancel(&v, 1, 5); /* out of the middle of those that expire */
    venue_tick(&v, now_ns + 20);
    EXPECT(&v, "cancelled 2 1 expired done\n"
               "level3 2 remove 0@101\n"
               "book buy 0@101 of 0\n"
               "cancelled 4 1 expired done\n"
               "level3 4 remove 0@103\n"
               "book buy 0@103 of 0\n"
               "cancelled 3 1 expired done\n"
               "level3 3 remove 0@102\n"
               "book buy 0@102 of 0\n");
    CHECK(core_due_ns(v.c) == now_ns + 30);
    venue_tick(&v, UINT64_MAX);
    CHECK(events_of(&v, EVENT_CANCELLED) == 2 && core_due_ns(v.c) == UINT64_MAX);
    venue_close(&v);
}

static void test_an_order_that_has_expired_when_it_comes_is_refused_and_one_that_has_traded_expires_no_more(void) {
    static venue v;
    venue_open(&v);
    wire_order_terms terms = until(v.now_ns);
    venue_order_with(&v, &terms, NULL, venue_limit(1, 1, SIDE_BUY, 100, 5));
    CHECK(venue_code(&v) == CODE_EXPIRY_PASSED);
    terms = until(v.now_ns + 1);
    venue_order_with(&v, &terms, NULL, venue_limit(1, 2, SIDE_BUY, 100, 5));
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 100, 5));
    CHECK(core_due_ns(v.c) == UINT64_MAX);
    venue_tick(&v, v.now_ns + 1);
    EXPECT(&v, "");
    venue_close(&v);
}

static void test_a_replaced_order_and_one_that_has_fired_still_expire(void) {
    static venue v;
    venue_open(&v);
    wire_order_terms terms = until(v.now_ns + 10);
    venue_order_with(&v, &terms, NULL, venue_limit(1, 1, SIDE_BUY, 100, 5));
    wire_replace r = {.kind = KIND_REPLACE,
                      .account = 1,
                      .instrument = 1,
                      .target_client_order_id = 1,
                      .price_ticks = 101,
                      .quantity_lots = 6};
    venue_send(&v, &r);
    terms.trigger = TRIGGER_STOP;
    terms.trigger_price_ticks = 120;
    venue_order_with(&v, &terms, NULL, venue_limit(1, 2, SIDE_BUY, 90, 5));
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 120, 1));
    venue_order(&v, venue_limit(3, 4, SIDE_BUY, 120, 1)); /* 2 fires and rests */
    CHECK(events_of(&v, EVENT_TRIGGERED) == 1);
    venue_tick(&v, v.now_ns + 10);
    EXPECT(&v, "cancelled 1 6 expired done\n"
               "level3 1 remove 0@101\n"
               "book buy 0@101 of 0\n"
               "cancelled 2 5 expired done\n"
               "level3 2 remove 0@90\n"
               "book buy 0@90 of 0\n");
    venue_close(&v);
}

static void test_day_orders_end_by_id_when_their_instrument_closes(void) {
    static venue v;
    venue_open(&v);
    wire_order_terms day = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_DAY};
    venue_order_with(&v, &day, NULL, venue_limit(2, 1, SIDE_BUY, 100, 5));
    venue_order_with(&v, &day, NULL, venue_limit(1, 2, SIDE_BUY, 100, 5));
    venue_order(&v, venue_limit(1, 3, SIDE_BUY, 100, 5)); /* stays */
    day.trigger = TRIGGER_STOP, day.trigger_price_ticks = 120;
    venue_order_with(&v, &day, NULL, venue_limit(2, 4, SIDE_BUY, 130, 5));
    venue_cancel(&v, 1, 2);
    wire_instrument_state state = {
        .kind = KIND_INSTRUMENT_STATE, .instrument = 1, .trading_state = TRADING_STATE_CLOSED};
    venue_send(&v, &state);
    EXPECT(&v, "state 5\n"
               "cancelled 1 5 session_closed done\n"
               "level3 1 remove 0@100\n"
               "book buy 5@100 of 1\n"
               "cancelled 4 5 session_closed done\n");
    CHECK(v.events[1].kind == EVENT_APPLIED);
    venue_close(&v);
}

static void test_many_that_expire_at_once_go_on_in_the_next_chunk(void) {
    static venue v;
    venue_open(&v);
    uint64_t seed = 7, last_ns = 0;
    const uint64_t now_ns = v.now_ns;
    for (uint64_t n = 1; n <= 120; n++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        const wire_order_terms terms = until(now_ns + 1 + (seed >> 58));
        venue_order_with(&v, &terms, NULL, venue_limit(1, n, SIDE_BUY, 100 + (int64_t)n, 1));
        if (n % 5 == 0) venue_cancel(&v, 1, n - 2);
    }
    uint32_t ended = 0;
    for (uint64_t at = 1; at <= 64; at += 21, last_ns = at) {
        venue_tick(&v, now_ns + at + 20);
        ended += events_of(&v, EVENT_CANCELLED);
    }
    CHECK(last_ns > 0 && ended == 96 && core_due_ns(v.c) == UINT64_MAX);
    venue_close(&v);
}

int main(void) {
    RUN(test_a_countdown_that_ends_cancels_what_its_key_entered_in_its_account);
    RUN(test_a_countdown_renewed_in_time_does_not_end_and_timeout_0_takes_it_away);
    RUN(test_countdowns_that_end_together_go_by_the_number_of_the_key);
    RUN(test_a_long_countdown_sweep_goes_on_in_the_next_chunk);
    RUN(test_a_countdown_is_refused_with_the_first_code_that_is_wrong);
    RUN(test_a_countdown_never_wraps_around_the_end_of_time);
    RUN(test_orders_expire_by_their_time_and_then_by_id_and_not_before);
    RUN(test_an_order_that_has_expired_when_it_comes_is_refused_and_one_that_has_traded_expires_no_more);
    RUN(test_a_replaced_order_and_one_that_has_fired_still_expire);
    RUN(test_day_orders_end_by_id_when_their_instrument_closes);
    RUN(test_many_that_expire_at_once_go_on_in_the_next_chunk);
    return 0;
}
