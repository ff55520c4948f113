/* Icebergs (rules.md 5, 7, 8, 13): what they show, what they hold back, and where they stand when they show anew. */
#include "venue.h"

static const wire_order_terms show2 = {.kind = KIND_ORDER_TERMS, .display_lots = 2};
static const wire_order_terms show3 = {.kind = KIND_ORDER_TERMS, .display_lots = 3};

static void test_an_iceberg_shows_a_part_and_locks_all(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_BUY, 100, 5));
    EXPECT(&v, "accepted 1 buy 5@100\n"
               "level3 1 add 2@100\n"
               "book buy 2@100 of 1\n");
    CHECK(venue_locked(&v, 1, 2) == 501);
    const core_order_info info = venue_info(&v, 1);
    CHECK(info.rest_lots == 5 && info.reserve_lots == 3 && info.display_lots == 2 && info.place == 0);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 2, SIDE_BUY, 100, 2)); /* no reserve */
    EXPECT(&v, "accepted 2 buy 2@100\n"
               "level3 2 add 2@100\n"
               "book buy 4@100 of 2\n");
    venue_cancel(&v, 1, 1);
    EXPECT(&v, "cancelled 1 5 by_request done\n"
               "level3 1 remove 0@100\n"
               "book buy 2@100 of 1\n");
    CHECK(venue_locked(&v, 1, 2) == 201);
    venue_close(&v);
}

static void test_an_iceberg_that_has_shown_all_shows_anew_behind_the_others(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 100, 4));
    const uint64_t entered = venue_info(&v, 1).priority;
    venue_order(&v, venue_limit(3, 3, SIDE_BUY, 100, 3));
    EXPECT(&v, "accepted 3 buy 3@100\n"
               "trade 2@100\n"
               "filled 1 2@100\n"
               "filled 3 2@100\n"
               "level3 1 remove 0@100\n"
               "level3 1 add 2@100\n"
               "trade 1@100\n"
               "filled 2 1@100\n"
               "filled 3 1@100 done\n"
               "level3 2 change 3@100\n"
               "book sell 5@100 of 2\n");
    CHECK(v.events[2].remaining_lots == 3); /* with the reserve */
    CHECK(venue_info(&v, 1).priority == core_sequence(v.c) && venue_info(&v, 1).priority > entered);
    CHECK(venue_info(&v, 1).reserve_lots == 1);
    core_order_info queue[4];
    CHECK(core_book_orders(v.c, 1, SIDE_SELL, 0, queue, 4) == 2 && queue[0].order_id == v.ids[2]);
    venue_close(&v);
}

static void test_one_taker_goes_through_an_iceberg_again_and_again(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    venue_order(&v, venue_limit(2, 2, SIDE_BUY, 100, 6));
    EXPECT(&v, "accepted 2 buy 6@100\n"
               "trade 2@100\n"
               "filled 1 2@100\n"
               "filled 2 2@100\n"
               "level3 1 remove 0@100\n"
               "level3 1 add 2@100\n"
               "trade 2@100\n"
               "filled 1 2@100\n"
               "filled 2 2@100\n"
               "level3 1 remove 0@100\n"
               "level3 1 add 1@100\n"
               "trade 1@100\n"
               "filled 1 1@100 done\n"
               "filled 2 1@100\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "level3 2 add 1@100\n"
               "book buy 1@100 of 1\n");
    venue_close(&v);
}

static void test_two_icebergs_take_turns(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_SELL, 100, 6));
    venue_order_with(&v, &show3, NULL, venue_limit(2, 2, SIDE_SELL, 100, 6));
    venue_order(&v, venue_limit(3, 3, SIDE_BUY, 100, 7)); /* 2 of the first, 3 of the second, 2 of the first */
    CHECK(venue_info(&v, 1).rest_lots == 2 && venue_info(&v, 2).rest_lots == 3);
    CHECK(venue_info(&v, 1).priority == venue_info(&v, 2).priority); /* both showed anew in this command: 2, then 1 */
    core_order_info queue[4];
    CHECK(core_book_orders(v.c, 1, SIDE_SELL, 0, queue, 4) == 2 && queue[0].order_id == v.ids[2]);
    venue_order(&v, venue_limit(3, 4, SIDE_BUY, 100, 1));
    EXPECT(&v, "accepted 4 buy 1@100\n"
               "trade 1@100\n"
               "filled 2 1@100\n"
               "filled 4 1@100 done\n"
               "level3 2 change 2@100\n"
               "book sell 4@100 of 2\n");
    venue_close(&v);
}

static void test_a_taking_iceberg_trades_whole_and_shows_what_is_left(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 1, SIDE_SELL, 100, 4));
    venue_order_with(&v, &show3, NULL, venue_limit(1, 2, SIDE_BUY, 100, 9));
    EXPECT(&v, "accepted 2 buy 9@100\n"
               "trade 4@100\n"
               "filled 1 4@100 done\n"
               "filled 2 4@100\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "level3 2 add 3@100\n"
               "book buy 3@100 of 1\n");
    CHECK(venue_info(&v, 2).rest_lots == 5 && venue_info(&v, 2).reserve_lots == 2);
    venue_close(&v);
}

static void test_a_replaced_iceberg_gives_up_its_reserve_first(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show3, NULL, venue_limit(1, 1, SIDE_BUY, 100, 9));
    venue_replace(&v, 1, 100, 5); /* keeps its place and what it shows */
    EXPECT(&v, "replaced 1 buy 5@100\n"
               "level3 1 change 3@100\n"
               "book buy 3@100 of 1\n");
    CHECK(venue_info(&v, 1).reserve_lots == 2 && venue_locked(&v, 1, 2) == 501);
    venue_replace(&v, 1, 100, 2); /* less than it showed */
    EXPECT(&v, "replaced 1 buy 2@100\n"
               "level3 1 change 2@100\n"
               "book buy 2@100 of 1\n");
    CHECK(venue_info(&v, 1).reserve_lots == 0);
    venue_replace(&v, 1, 101, 8); /* loses its place, shows anew */
    EXPECT(&v, "replaced 1 buy 8@101\n"
               "level3 1 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "level3 1 add 3@101\n"
               "book buy 3@101 of 1\n");
    CHECK(venue_info(&v, 1).reserve_lots == 5 && venue_locked(&v, 1, 2) == 809);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 102, 8));
    venue_replace(&v, 1, 102, 8); /* trades whole and is gone */
    core_order_info gone;
    CHECK(!core_order(v.c, v.ids[1], &gone) && venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
}

static void test_self_trade_prevention_takes_what_an_iceberg_shows_or_cancels_all_of_it(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    venue_order(&v, venue_mode(venue_limit(1, 2, SIDE_BUY, 100, 3), SELF_TRADE_PREVENTION_DECREMENT));
    EXPECT(&v, "accepted 2 buy 3@100\n"
               "cancelled 1 2 self_trade\n"
               "level3 1 remove 0@100\n"
               "level3 1 add 2@100\n"
               "cancelled 2 2 self_trade\n"
               "cancelled 1 1 self_trade\n"
               "level3 1 change 1@100\n"
               "cancelled 2 1 self_trade done\n"
               "book sell 1@100 of 1\n");
    CHECK(venue_info(&v, 1).rest_lots == 2 && venue_info(&v, 1).reserve_lots == 1 && venue_locked(&v, 1, 1) == 2);
    venue_order(&v, venue_mode(venue_limit(1, 3, SIDE_BUY, 100, 1), SELF_TRADE_PREVENTION_CANCEL_TAKER));
    EXPECT(&v, "accepted 3 buy 1@100\n"
               "cancelled 3 1 self_trade done\n");
    venue_order(&v, venue_mode(venue_limit(1, 4, SIDE_BUY, 100, 1), SELF_TRADE_PREVENTION_CANCEL_MAKER));
    EXPECT(&v, "accepted 4 buy 1@100\n"
               "cancelled 1 2 self_trade done\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "level3 4 add 1@100\n"
               "book buy 1@100 of 1\n");
    venue_order_with(&v, &show2, NULL, venue_limit(1, 5, SIDE_SELL, 101, 5));
    venue_order(&v, venue_mode(venue_limit(1, 6, SIDE_BUY, 101, 4), SELF_TRADE_PREVENTION_CANCEL_BOTH));
    EXPECT(&v, "accepted 6 buy 4@101\n"
               "cancelled 5 5 self_trade done\n"
               "level3 5 remove 0@101\n"
               "cancelled 6 4 self_trade done\n"
               "book sell 0@101 of 0\n");
    venue_close(&v);
}

static void test_fill_or_kill_counts_the_reserve(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    wire_new_order kill = venue_limit(2, 2, SIDE_BUY, 100, 6);
    kill.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_FILL_OR_KILL_UNFILLABLE);
    kill.quantity_lots = 5;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_NONE && v.events[v.count - 2].remaining_lots == 0);
    core_order_info gone;
    CHECK(!core_order(v.c, v.ids[1], &gone));
    venue_close(&v);
}

static void test_an_iceberg_is_at_most_a_thousand_times_what_it_shows(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_BUY, 1, 2 * ICEBERG_PARTS_MAX + 1));
    CHECK(venue_code(&v) == CODE_TERMS_INVALID);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_BUY, 1, 2 * ICEBERG_PARTS_MAX));
    CHECK(venue_code(&v) == CODE_NONE);
    venue_replace(&v, 1, 1, 2 * ICEBERG_PARTS_MAX + 1);
    CHECK(venue_code(&v) == CODE_TERMS_INVALID);
    venue_replace(&v, 1, 2, 2 * ICEBERG_PARTS_MAX);
    CHECK(venue_code(&v) == CODE_NONE);
    venue_close(&v);
}

static void test_a_mass_cancel_takes_an_iceberg_as_one(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &show2, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    venue_order(&v, venue_limit(1, 2, SIDE_SELL, 100, 1));
    wire_mass_cancel o = {.kind = KIND_MASS_CANCEL, .account = 1};
    venue_send(&v, &o);
    EXPECT(&v, "cancelled 1 5 by_mass_cancel done\n"
               "level3 1 remove 0@100\n"
               "book sell 1@100 of 1\n"
               "cancelled 2 1 by_mass_cancel done\n"
               "level3 2 remove 0@100\n"
               "book sell 0@100 of 0\n");
    CHECK(v.events[v.count - 1].kind == EVENT_APPLIED && v.events[v.count - 1].quantity_lots == 2);
    venue_close(&v);
}

int main(void) {
    RUN(test_an_iceberg_shows_a_part_and_locks_all);
    RUN(test_an_iceberg_that_has_shown_all_shows_anew_behind_the_others);
    RUN(test_one_taker_goes_through_an_iceberg_again_and_again);
    RUN(test_two_icebergs_take_turns);
    RUN(test_a_taking_iceberg_trades_whole_and_shows_what_is_left);
    RUN(test_a_replaced_iceberg_gives_up_its_reserve_first);
    RUN(test_self_trade_prevention_takes_what_an_iceberg_shows_or_cancels_all_of_it);
    RUN(test_fill_or_kill_counts_the_reserve);
    RUN(test_an_iceberg_is_at_most_a_thousand_times_what_it_shows);
    RUN(test_a_mass_cancel_takes_an_iceberg_as_one);
    return 0;
}
