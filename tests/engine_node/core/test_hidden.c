/* Hidden orders (rules.md 5, 7, 13): a book of their own, behind what is displayed at a price, and never told of. */
#include "venue.h"

static const wire_order_terms hidden = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN};

static void test_a_hidden_order_rests_without_a_word(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_BUY, 100, 5));
    EXPECT(&v, "accepted 1 buy 5@100\n");
    core_level_info levels[4];
    core_order_info orders[4];
    CHECK(core_levels(v.c, 1, SIDE_BUY, levels, 4) == 0 && core_book_orders(v.c, 1, SIDE_BUY, 0, orders, 4) == 0);
    CHECK(core_unseen_orders(v.c, 1, SIDE_BUY, 0, orders, 4) == 1 && orders[0].place == 1 && orders[0].rest_lots == 5);
    CHECK(core_unseen_orders(v.c, 1, SIDE_BUY, 1, orders, 4) == 0 && venue_locked(&v, 1, 2) == 501);
    venue_cancel(&v, 1, 1);
    EXPECT(&v, "cancelled 1 5 by_request done\n");
    CHECK(venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
}

static void test_at_one_price_displayed_orders_come_first_whatever_the_time(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_SELL, 100, 2));
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 100, 2));
    venue_order(&v, venue_limit(3, 3, SIDE_BUY, 100, 3));
    EXPECT(&v, "accepted 3 buy 3@100\n"
               "trade 2@100\n"
               "filled 2 2@100 done\n"
               "filled 3 2@100\n"
               "level3 2 remove 0@100\n"
               "book sell 0@100 of 0\n" /* left before the hidden maker */
               "trade 1@100\n"
               "filled 1 1@100\n"
               "filled 3 1@100 done\n");
    venue_close(&v);
}

static void test_a_better_hidden_price_comes_before_what_is_displayed(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 1, SIDE_SELL, 100, 3));
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 2, SIDE_SELL, 99, 1));
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 3, SIDE_SELL, 101, 2));
    venue_order_with(&v, &hidden, NULL, venue_limit(4, 4, SIDE_SELL, 101, 2));
    venue_order(&v, venue_limit(2, 5, SIDE_SELL, 102, 3));
    venue_order(&v, venue_limit(3, 6, SIDE_BUY, 102, 8));
    EXPECT(&v, "accepted 6 buy 8@102\n"
               "trade 1@99\n"
               "filled 2 1@99 done\n"
               "filled 6 1@99\n"
               "trade 3@100\n"
               "filled 1 3@100 done\n"
               "filled 6 3@100\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "trade 2@101\n"
               "filled 3 2@101 done\n"
               "filled 6 2@101\n"
               "trade 2@101\n"
               "filled 4 2@101 done\n"
               "filled 6 2@101 done\n");
    venue_close(&v);
}

static void test_self_trade_prevention_with_a_hidden_maker_makes_no_book_events(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 9, SIDE_SELL, 100, 1));
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    venue_order(&v, venue_mode(venue_limit(1, 2, SIDE_BUY, 100, 3), SELF_TRADE_PREVENTION_DECREMENT));
    EXPECT(&v, "accepted 2 buy 3@100\n"
               "trade 1@100\n"
               "filled 9 1@100 done\n"
               "filled 2 1@100\n"
               "level3 9 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "cancelled 1 2 self_trade\n"
               "cancelled 2 2 self_trade done\n");
    venue_order(&v, venue_mode(venue_limit(1, 3, SIDE_BUY, 100, 1), SELF_TRADE_PREVENTION_CANCEL_TAKER));
    EXPECT(&v, "accepted 3 buy 1@100\n"
               "cancelled 3 1 self_trade done\n");
    venue_order(&v, venue_mode(venue_limit(1, 4, SIDE_BUY, 100, 1), SELF_TRADE_PREVENTION_CANCEL_BOTH));
    EXPECT(&v, "accepted 4 buy 1@100\n"
               "cancelled 1 3 self_trade done\n"
               "cancelled 4 1 self_trade done\n");
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 5, SIDE_SELL, 100, 5));
    venue_order(&v, venue_mode(venue_limit(1, 6, SIDE_BUY, 100, 1), SELF_TRADE_PREVENTION_CANCEL_MAKER));
    EXPECT(&v, "accepted 6 buy 1@100\n"
               "cancelled 5 5 self_trade done\n"
               "level3 6 add 1@100\n"
               "book buy 1@100 of 1\n");
    venue_close(&v);
}

static void test_a_replaced_hidden_order_stays_hidden(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_BUY, 100, 5));
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 2, SIDE_BUY, 100, 5));
    venue_replace(&v, 1, 100, 3);
    EXPECT(&v, "replaced 1 buy 3@100\n");
    CHECK(v.events[0].flags == REPORT_FLAG_KEPT_PRIORITY && venue_locked(&v, 1, 2) == 301 + 501);
    venue_replace(&v, 1, 101, 4);
    EXPECT(&v, "replaced 1 buy 4@101\n");
    CHECK(venue_info(&v, 1).place == 1 && venue_info(&v, 1).price_ticks == 101);
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 102, 2));
    venue_replace(&v, 2, 102, 5);
    EXPECT(&v, "replaced 2 buy 5@102\n"
               "trade 2@102\n"
               "filled 3 2@102 done\n"
               "filled 2 2@102\n"
               "level3 3 remove 0@102\n"
               "book sell 0@102 of 0\n");
    venue_close(&v);
}

static void test_post_only_minds_hidden_makers(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    wire_new_order post = venue_limit(2, 2, SIDE_BUY, 100, 1);
    post.options = ORDER_OPTION_POST_ONLY;
    venue_order(&v, post);
    CHECK(venue_code(&v) == CODE_POST_ONLY_WOULD_TAKE);
    post.price_ticks = 99;
    venue_order(&v, post);
    CHECK(venue_code(&v) == CODE_NONE);
    venue_replace(&v, 2, 100, 1);
    CHECK(venue_code(&v) == CODE_POST_ONLY_WOULD_TAKE);
    post.client_order_id = 3;
    venue_order_with(&v, &hidden, NULL, post); /* hidden and post only go together */
    EXPECT(&v, "accepted 3 buy 1@99\n");
    venue_close(&v);
}

static void test_the_walk_meets_hidden_orders_by_price(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_SELL, 100, 2));
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 101, 2));
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 3, SIDE_SELL, 102, 2));
    wire_new_order kill = venue_limit(3, 4, SIDE_BUY, 101, 5);
    kill.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_FILL_OR_KILL_UNFILLABLE);
    kill.price_ticks = 102;
    kill.account = 1; /* would meet itself first */
    kill.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_TAKER;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_FILL_OR_KILL_UNFILLABLE);
    kill.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_MAKER;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_FILL_OR_KILL_UNFILLABLE); /* only account 2's two are left */
    kill.account = 3;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_NONE);
    venue_close(&v);
}

static void test_mass_cancels_and_lost_lines_reach_hidden_orders(void) {
    static venue v;
    venue_open(&v);
    const wire_logon logon = {.kind = KIND_LOGON, .account = 1, .session = 1, .options = 1};
    venue_system(&v, 1, &logon);
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_BUY, 100, 5));
    venue_order(&v, venue_limit(1, 2, SIDE_BUY, 99, 5));
    const wire_logoff logoff = {.kind = KIND_LOGOFF, .session = 1, .reason = LOGOFF_REASON_LINE_LOST};
    venue_system(&v, 1, &logoff);
    EXPECT(&v, "cancelled 1 5 on_disconnect done\n"
               "cancelled 2 5 on_disconnect done\n"
               "level3 2 remove 0@99\n"
               "book buy 0@99 of 0\n");
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 3, SIDE_BUY, 100, 5));
    wire_mass_cancel o = {.kind = KIND_MASS_CANCEL, .account = 1, .side = SIDE_BUY};
    venue_send(&v, &o);
    EXPECT(&v, "cancelled 3 5 by_mass_cancel done\n");
    venue_close(&v);
}

int main(void) {
    RUN(test_a_hidden_order_rests_without_a_word);
    RUN(test_at_one_price_displayed_orders_come_first_whatever_the_time);
    RUN(test_a_better_hidden_price_comes_before_what_is_displayed);
    RUN(test_self_trade_prevention_with_a_hidden_maker_makes_no_book_events);
    RUN(test_a_replaced_hidden_order_stays_hidden);
    RUN(test_post_only_minds_hidden_makers);
    RUN(test_the_walk_meets_hidden_orders_by_price);
    RUN(test_mass_cancels_and_lost_lines_reach_hidden_orders);
    return 0;
}
