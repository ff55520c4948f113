/* What time brings: countdowns (rules.md 16). */
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

int main(void) {
    RUN(test_a_countdown_that_ends_cancels_what_its_key_entered_in_its_account);
    RUN(test_a_countdown_renewed_in_time_does_not_end_and_timeout_0_takes_it_away);
    RUN(test_countdowns_that_end_together_go_by_the_number_of_the_key);
    RUN(test_a_long_countdown_sweep_goes_on_in_the_next_chunk);
    RUN(test_a_countdown_is_refused_with_the_first_code_that_is_wrong);
    RUN(test_a_countdown_never_wraps_around_the_end_of_time);
    return 0;
}
