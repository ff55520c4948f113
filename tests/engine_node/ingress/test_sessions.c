/* Sessions: how they begin, replace each other, resume and end, and what the journal says of it. */
#include "support/check.h"
#include "support/ingress_rig.h"

static rig r;
static client c;
static wire_report got[2100];

static void begin(void) {
    rig_make(&r, 1);
    rig_start(&r);
    rig_define_market(&r);
}

static void logon(client *to, uint32_t key, uint64_t last_report, uint8_t options) {
    client_logon(to, &r, key, last_report, options);
}

static uint64_t recorded(void) { return core_sequence(ingress_core(r.in)); }

static core_key_info key_info(uint32_t key) {
    core_key_info info = {0};
    core_key(ingress_core(r.in), key, &info);
    return info;
}

static void check_last_is_end(client *of, uint16_t code) {
    const uint32_t count = client_take(of, got, 2100);
    CHECK(count > 0);
    CHECK_EQUAL(got[count - 1].kind, MESSAGE_SESSION_ENDED);
    CHECK_EQUAL(got[count - 1].code, code);
    CHECK_EQUAL(rig_closed_code(&r, of->socket), code);
}

static void order(client *of, uint32_t account, uint8_t side, int64_t price, int64_t quantity) {
    const wire_new_order o = client_order(of, account, side, price, quantity);
    client_send(of, &o);
}

/* ---- Begin ------------------------------------------------------------------------------------------------------- */

static void test_a_session_begins_with_its_first_valid_frame_and_not_before(void) {
    begin();
    const uint64_t before = recorded();
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    CHECK_EQUAL(recorded(), before);
    CHECK(!key_info(2).live);
    order(&c, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(recorded(), before + 2); /* logon, order */
    CHECK(key_info(2).live);
    CHECK_EQUAL(key_info(2).session, 1);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

static void test_a_new_session_replaces_the_old_one_only_with_its_first_valid_frame(void) {
    begin();
    client old;
    logon(&old, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&old);
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    order(&old, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&old).kind, EVENT_ACCEPTED);

    const uint64_t before = recorded();
    c.sequence = 1; /* the old one went on meanwhile */
    const wire_ping ping = client_ping(&c, 7);
    client_send(&c, &ping);
    CHECK_EQUAL(recorded(), before + 2); /* logoff, logon */
    check_last_is_end(&old, CODE_SESSION_REPLACED);
    const uint32_t count = client_take(&c, got, 10);
    CHECK_EQUAL(count, 2); /* the report made since the logon's answer, then the pong */
    CHECK_EQUAL(got[0].kind, EVENT_ACCEPTED);
    CHECK_EQUAL(got[0].report_number, 1);
    CHECK_EQUAL(got[1].kind, MESSAGE_PONG);
    CHECK_EQUAL(key_info(2).session, 2);
    CHECK_EQUAL(rig_counters(&r)->sessions_replaced, 1);
    CHECK_EQUAL(rig_counters(&r)->sessions_live, 1);
    rig_end(&r);
}

static void test_a_wrong_first_frame_leaves_the_old_session_alone(void) {
    begin();
    client old;
    logon(&old, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&old);
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    const uint64_t before = recorded();
    client_write(&c, "0123456789012345678901234567890123456789012345678901234567890123", 64);
    check_last_is_end(&c, CODE_FRAME_REFUSED);
    CHECK_EQUAL(recorded(), before);
    order(&old, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&old).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

static void test_a_key_has_one_pending_session_the_newest(void) {
    begin();
    client first, second;
    CHECK(client_connect(&first, &r, 2, rig_address(2)));
    client_request(&first, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&first));
    CHECK(client_connect(&second, &r, 2, rig_address(2)));
    client_request(&second, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&second));
    check_last_is_end(&first, CODE_SESSION_REPLACED);
    order(&second, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&second).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

/* ---- Resume ------------------------------------------------------------------------------------------------------ */

/* Whoever only tries a key cuts nobody who uses it: neither who trades nor who has just logged on. */
static void test_a_probe_is_answered_and_closed_and_touches_no_session(void) {
    begin();
    client live, pending;
    logon(&live, 2, RESUME_NEW_ONLY, LOGON_OPTION_CANCEL_ON_DISCONNECT);
    client_take_one(&live);
    order(&live, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&live).kind, EVENT_ACCEPTED);
    CHECK(client_connect(&pending, &r, 2, rig_address(2)));
    client_request(&pending, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&pending));
    const uint64_t before = recorded(), open = rig_counters(&r)->connections_open;

    for (uint8_t options = 0; options <= LOGON_OPTION_CANCEL_ON_DISCONNECT; options++) {
        CHECK(client_connect(&c, &r, 2, rig_address(2)));
        client_request(&c, RESUME_PROBE, options);
        CHECK(client_send_request(&c));
        CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_NONE);
        CHECK_EQUAL(host_sim_peer_waiting(r.sim, c.socket), 0);
    }
    CHECK_EQUAL(recorded(), before);
    CHECK_EQUAL(rig_counters(&r)->connections_open, open);
    CHECK_EQUAL(rig_counters(&r)->sessions_replaced, 0);
    order(&live, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&live).kind, EVENT_ACCEPTED);
    pending.sequence = live.sequence;
    const wire_ping ping = client_ping(&pending, 7);
    client_send(&pending, &ping);
    check_last_is_end(&live, CODE_SESSION_REPLACED);
    rig_end(&r);
}

static void test_a_frame_behind_a_probe_is_not_read(void) {
    begin();
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, RESUME_PROBE, 0);
    const uint64_t before = recorded(), frames = rig_counters(&r)->frames;
    const wire_new_order o = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_write(&c, &c.request, sizeof c.request);
    client_queue(&c, &o); /* in one segment with the request */
    client_work(&c);
    CHECK_EQUAL(host_sim_peer_waiting(r.sim, c.socket), sizeof c.answer);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_NONE);
    CHECK_EQUAL(recorded(), before);
    CHECK_EQUAL(rig_counters(&r)->frames, frames);
    rig_end(&r);
}

static void test_a_client_that_lost_its_line_gets_every_report_once(void) {
    begin();
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    for (int i = 0; i < 10; i++) order(&c, 2, SIDE_BUY, 100 + i, 5);
    CHECK_EQUAL(client_take(&c, got, 100), 10);
    for (uint64_t from = 0; from <= 10; from++) {
        host_sim_peer_close(r.sim, c.socket);
        client_work(&c);
        logon(&c, 2, from, 0);
        CHECK_EQUAL(c.answer.last_client_sequence, 10);
        CHECK_EQUAL(c.answer.last_report_number, 10);
        const uint32_t count = client_take(&c, got, 100);
        CHECK_EQUAL(count, 10 - from + 1);
        for (uint32_t i = 0; i + 1 < count; i++) {
            CHECK_EQUAL(got[i].report_number, from + 1 + i);
            CHECK_EQUAL(got[i].price_ticks, (int64_t)(100 + from + i));
        }
        CHECK_EQUAL(got[count - 1].kind, MESSAGE_PONG);
    }
    rig_end(&r);
}

static void test_reports_made_while_nobody_was_there_come_at_the_next_logon(void) {
    begin();
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    order(&c, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take(&c, got, 10), 2);
    host_sim_peer_close(r.sim, c.socket);
    client_work(&c);
    client other;
    logon(&other, 3, RESUME_NEW_ONLY, 0);
    order(&other, 3, SIDE_SELL, 100, 5);
    CHECK_EQUAL(client_take(&other, got, 10), 3);
    logon(&c, 2, 1, 0);
    CHECK_EQUAL(client_take(&c, got, 10), 2);
    CHECK_EQUAL(got[0].kind, EVENT_FILLED);
    CHECK_EQUAL(got[0].report_number, 2);
    rig_end(&r);
}

static void test_reports_never_made_or_no_longer_kept_cannot_be_resumed_from(void) {
    rig_make(&r, 1);
    r.options.core.reports_kept = 256;
    rig_start(&r);
    rig_define_market(&r);
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    for (int i = 0; i < 300; i++) {
        const wire_cancel cancel = {.kind = KIND_CANCEL, .client_sequence = ++c.sequence, .account = 2, .order_id = 1};
        client_queue(&c, &cancel);
    }
    CHECK_EQUAL(client_take(&c, got, 400), 300);
    const uint64_t before = recorded();
    const uint64_t wrong[] = {301, 0, 43};
    for (int i = 0; i < 3; i++) {
        client late;
        CHECK(client_connect(&late, &r, 2, rig_address(2)));
        client_request(&late, wrong[i], 0);
        CHECK(client_send_request(&late)); /* the answer says what there is */
        CHECK_EQUAL(late.answer.last_report_number, 300);
        check_last_is_end(&late, CODE_REPORTS_UNAVAILABLE);
    }
    CHECK_EQUAL(recorded(), before); /* the live session was left alone */
    client right;
    logon(&right, 2, 44, 0);
    CHECK_EQUAL(client_take(&right, got, 400), 257);
    CHECK_EQUAL(got[0].report_number, 45);
    rig_end(&r);
}

static void test_reports_that_went_between_answer_and_first_frame_end_the_new_session_only(void) {
    rig_make(&r, 1);
    r.options.core.reports_kept = 256;
    rig_start(&r);
    rig_define_market(&r);
    client old;
    logon(&old, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&old);
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, 0, 0);
    CHECK(client_send_request(&c));
    for (int i = 0; i < 300; i++) {
        const wire_cancel cancel = {
            .kind = KIND_CANCEL, .client_sequence = ++old.sequence, .account = 2, .order_id = 1};
        client_send(&old, &cancel);
    }
    CHECK_EQUAL(client_take(&old, got, 400), 300);
    c.sequence = 300;
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping);
    check_last_is_end(&c, CODE_REPORTS_UNAVAILABLE);
    CHECK(key_info(2).live);
    CHECK_EQUAL(key_info(2).session, 1);
    rig_end(&r);
}

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

static void test_a_lost_line_cancels_orders_only_if_the_session_asked_for_it(void) {
    begin();
    for (int asked = 0; asked < 2; asked++) {
        logon(&c, 2, RESUME_NEW_ONLY, asked ? LOGON_OPTION_CANCEL_ON_DISCONNECT : 0);
        order(&c, 2, SIDE_BUY, 100, 5);
        order(&c, 2, SIDE_BUY, 101, 5);
        client_take(&c, got, 100);
        core_account_info account;
        CHECK(core_account(ingress_core(r.in), 2, &account));
        const uint32_t open = account.open_orders;
        host_sim_peer_close(r.sim, c.socket);
        client_work(&c);
        CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_NONE);
        CHECK(core_account(ingress_core(r.in), 2, &account));
        CHECK_EQUAL(account.open_orders, asked ? 0 : open);
    }
    CHECK_EQUAL(rig_counters(&r)->lines_lost, 3); /* one was rig_define_market's */
    logon(&c, 2, key_info(2).last_report_number - 1, 0);
    client_take(&c, got, 10);
    CHECK_EQUAL(got[0].kind, EVENT_CANCELLED);
    CHECK_EQUAL(got[0].code, CODE_CANCELLED_ON_DISCONNECT);
    rig_end(&r);
}

static void test_a_broken_line_is_noticed_when_writing_too(void) {
    begin();
    client other;
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    order(&c, 2, SIDE_BUY, 100, 5);
    client_take(&c, got, 10);
    host_sim_socket_fail(r.sim, c.socket, 104); /* ECONNRESET */
    logon(&other, 3, RESUME_NEW_ONLY, 0);
    order(&other, 3, SIDE_SELL, 100, 5);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_NONE);
    CHECK(!key_info(2).live);
    CHECK_EQUAL(client_take(&other, got, 10), 3);
    rig_end(&r);
}

static void test_an_idle_session_is_ended_and_a_ping_keeps_it(void) {
    begin();
    client silent;
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    logon(&silent, 3, RESUME_NEW_ONLY, 0);
    for (int i = 0; i < 3; i++) {
        rig_wait(&r, r.options.idle_ms * 1000000ull / 2);
        const wire_ping ping = client_ping(&c, 1);
        client_send(&c, &ping);
        ingress_on_timer(r.in);
    }
    check_last_is_end(&silent, CODE_IDLE_TIMEOUT);
    CHECK(!key_info(3).live);
    CHECK(key_info(2).live);
    CHECK_EQUAL(rig_counters(&r)->ended_idle, 1);
    rig_end(&r);
}

static void test_a_pending_session_is_idle_too(void) {
    begin();
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    const uint64_t before = recorded();
    rig_wait(&r, r.options.idle_ms * 1000000ull);
    check_last_is_end(&c, CODE_IDLE_TIMEOUT);
    CHECK_EQUAL(recorded(), before);
    rig_end(&r);
}

static void test_a_clock_set_forward_ends_nobody(void) {
    begin();
    client stranger;
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    CHECK(client_connect(&stranger, &r, 3, rig_address(3)));
    const host *h = host_sim_host(r.sim);
    host_sim_set_clock(r.sim, h->now_ns(h->self) + 3600 * RIG_SECOND_NS);
    for (int i = 0; i < 3; i++) rig_wait(&r, RIG_SECOND_NS);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), 0xffff);
    CHECK_EQUAL(rig_closed_code(&r, stranger.socket), 0xffff);
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    rig_end(&r);
}

/* The process stood still for an hour: what came in time meanwhile is read before anybody is called idle. */
static void test_frames_that_waited_while_the_process_was_stopped_are_read_first(void) {
    begin();
    client silent;
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    logon(&silent, 3, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    rig_wait(&r, RIG_SECOND_NS);
    const wire_new_order o = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_queue(&c, &o);
    host_sim_advance(r.sim, 3600 * RIG_SECOND_NS);
    ingress_on_timer(r.in); /* the timer comes before the sockets */
    CHECK_EQUAL(rig_closed_code(&r, c.socket), 0xffff);
    CHECK_EQUAL(rig_closed_code(&r, silent.socket), 0xffff);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    rig_wait(&r, RIG_SECOND_NS / 10);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), 0xffff);
    CHECK_EQUAL(rig_closed_code(&r, silent.socket), CODE_IDLE_TIMEOUT);
    rig_end(&r);
}

static void test_a_revoked_key_ends_its_session_and_others_go_on(void) {
    begin();
    client stays, pending;
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    logon(&stays, 3, RESUME_NEW_ONLY, 0);
    CHECK(client_connect(&pending, &r, 2, rig_address(2)));
    client_request(&pending, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&pending));
    client_take(&stays, got, 10);
    r.keys[1] = r.keys[3]; /* key 2 is gone */
    CHECK_EQUAL(ingress_set_keys(r.in, r.keys, RIG_KEY_COUNT - 1, &r.error), INGRESS_OK);
    check_last_is_end(&c, CODE_KEY_CHANGED);
    check_last_is_end(&pending, CODE_KEY_CHANGED);
    CHECK(!key_info(2).live);
    order(&stays, 3, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&stays).kind, EVENT_ACCEPTED);
    CHECK_EQUAL(rig_counters(&r)->ended_key_changed, 2);
    rig_end(&r);
}

static void test_a_bad_key_list_changes_nothing(void) {
    begin();
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    r.keys[2].number = 2;
    CHECK_EQUAL(ingress_set_keys(r.in, r.keys, RIG_KEY_COUNT, &r.error), INGRESS_E_OPTIONS);
    CHECK_TEXT(r.error.text, "number must not be there twice");
    order(&c, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    r.keys[2].number = 3;
    logon(&c, 3, RESUME_NEW_ONLY, 0);
    rig_end(&r);
}

static void test_rotation_of_a_secret_leaves_no_gap(void) {
    begin();
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    memset(r.keys[1].secrets[1], 0x55, 32);
    r.keys[1].secret_count = 2;
    CHECK_EQUAL(ingress_set_keys(r.in, r.keys, RIG_KEY_COUNT, &r.error), INGRESS_OK);
    order(&c, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    ingress_key after = r.keys[1];
    memcpy(after.secrets[0], after.secrets[1], 32);
    after.secret_count = 1;
    r.keys[1] = after;
    client renewed;
    CHECK(client_connect(&renewed, &r, 2, rig_address(2)));
    client_request(&renewed, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&renewed)); /* under the new secret, before the old one goes */
    CHECK_EQUAL(ingress_set_keys(r.in, r.keys, RIG_KEY_COUNT, &r.error), INGRESS_OK);
    check_last_is_end(&c, CODE_KEY_CHANGED); /* opened with the old secret */
    order(&renewed, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(client_take_one(&renewed).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

/* ---- Logoffs that must wait -------------------------------------------------------------------------------------- */

/* Fill the segment, so that the next record has no room. */
static void fill_journal(client *with) {
    host_sim_room(r.sim, 0);
    for (uint32_t i = 0; i < 3 * 4096 && rig_counters(&r)->refused_journal_no_room == 0; i++) {
        const wire_cancel cancel = {
            .kind = KIND_CANCEL, .client_sequence = ++with->sequence, .account = 2, .order_id = 1};
        client_send(with, &cancel);
        rig_settle(&r);
        client_take(with, got, 100);
    }
    CHECK(rig_counters(&r)->refused_journal_no_room > 0);
}

static void test_a_logoff_without_room_is_owed_and_paid_when_there_is_room(void) {
    begin();
    client filler;
    logon(&c, 3, RESUME_NEW_ONLY, 0);
    logon(&filler, 2, RESUME_NEW_ONLY, 0);
    fill_journal(&filler);
    host_sim_peer_close(r.sim, c.socket);
    client_work(&c);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_NONE);
    CHECK_EQUAL(rig_counters(&r)->logoffs_owed, 1);
    CHECK(key_info(3).live); /* the core does not know yet */

    client again; /* the same key can't begin before its old session has ended in the journal */
    CHECK(client_connect(&again, &r, 3, rig_address(3)));
    client_request(&again, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&again));
    wire_ping ping = client_ping(&again, 1);
    client_send(&again, &ping);
    const wire_report refused = client_take_one(&again);
    CHECK_EQUAL(refused.kind, MESSAGE_REFUSED);
    CHECK_EQUAL(refused.code, CODE_JOURNAL_NO_ROOM);

    host_sim_room(r.sim, 1ll << 40);
    host_sim_advance(r.sim, 10 * RIG_SECOND_NS);
    rig_settle(&r);
    ingress_on_timer(r.in);
    CHECK_EQUAL(rig_counters(&r)->logoffs_owed, 0);
    CHECK(!key_info(3).live);
    client_send(&again, &ping);
    CHECK_EQUAL(client_take_one(&again).kind, MESSAGE_PONG);
    CHECK(key_info(3).live);
    CHECK_EQUAL(key_info(3).session, 2);
    rig_end(&r);
}

static void test_a_full_core_refuses_a_logon_and_the_client_may_try_again(void) {
    rig_make(&r, 1);
    r.options.core.nonce_count_max = 2;
    rig_start(&r);
    client_logon(&c, &r, 1, RESUME_NEW_ONLY, 0);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    client_logon(&c, &r, 3, RESUME_NEW_ONLY, 0);
    wire_report message = client_take_one(&c);
    CHECK_EQUAL(message.kind, MESSAGE_REFUSED);
    CHECK_EQUAL(message.code, CODE_CORE_NO_ROOM);
    const wire_new_order first = client_order(&c, 3, SIDE_BUY, 100, 5), second = client_order(&c, 3, SIDE_BUY, 100, 5);
    client_send(&c, &first);
    message = client_take_one(&c);
    CHECK_EQUAL(message.code, CODE_CORE_NO_ROOM);
    CHECK_EQUAL(message.reference, 1);
    client_send(&c, &second);
    CHECK_EQUAL(client_take_one(&c).code, CODE_EARLIER_REFUSED);
    host_sim_advance(r.sim, 301 * RIG_SECOND_NS); /* the held nonces have passed */
    client_send(&c, &first);
    CHECK_EQUAL(client_take_one(&c).code, CODE_UNKNOWN_ACCOUNT);
    CHECK(key_info(3).live);
    rig_end(&r);
}

/* The old session's cancel-on-disconnect makes more reports than are kept: the new one cannot resume without a gap. */
static void test_a_sweep_that_goes_round_the_ring_ends_the_new_session_before_it_begins(void) {
    rig_make(&r, 1);
    r.options.core.reports_kept = 256;
    rig_start(&r);
    rig_define_market(&r);
    client old;
    logon(&old, 2, RESUME_NEW_ONLY, LOGON_OPTION_CANCEL_ON_DISCONNECT);
    for (int i = 0; i < 300; i++) {
        order(&old, 2, SIDE_BUY, 100, 1);
        client_take(&old, got, 2100);
    }
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, 300, 0);
    CHECK(client_send_request(&c));
    const uint64_t before = recorded();
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping);
    CHECK_EQUAL(client_take_one(&c).code, CODE_REPORTS_UNAVAILABLE);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_REPORTS_UNAVAILABLE);
    CHECK_EQUAL(recorded(), before + 1); /* the logoff of the old one, no logon */
    CHECK_EQUAL(key_info(2).last_report_number, 600);
    CHECK(!key_info(2).live);
    rig_end(&r);
}

static void test_a_full_core_leaves_the_old_session_alone(void) {
    rig_make(&r, 1);
    r.options.core.nonce_count_max = 2;
    rig_start(&r);
    client old;
    logon(&old, 1, RESUME_NEW_ONLY, 0);
    logon(&c, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&old);
    const uint64_t before = recorded();
    logon(&c, 1, RESUME_NEW_ONLY, 0);
    CHECK_EQUAL(client_take_one(&c).code, CODE_CORE_NO_ROOM);
    CHECK_EQUAL(recorded(), before);
    CHECK_EQUAL(rig_closed_code(&r, old.socket), 0xffff);
    CHECK(key_info(1).live);
    CHECK_TEXT(ingress_full_pool(r.in), "nonce_count_max");
    const wire_ping ping = client_ping(&old, 1);
    client_send(&old, &ping);
    CHECK_EQUAL(client_take_one(&old).kind, MESSAGE_PONG);
    rig_end(&r);
}

int main(void) {
    RUN(test_a_session_begins_with_its_first_valid_frame_and_not_before);
    RUN(test_a_new_session_replaces_the_old_one_only_with_its_first_valid_frame);
    RUN(test_a_wrong_first_frame_leaves_the_old_session_alone);
    RUN(test_a_key_has_one_pending_session_the_newest);
    RUN(test_a_probe_is_answered_and_closed_and_touches_no_session);
    RUN(test_a_frame_behind_a_probe_is_not_read);
    RUN(test_a_client_that_lost_its_line_gets_every_report_once);
    RUN(test_reports_made_while_nobody_was_there_come_at_the_next_logon);
    RUN(test_reports_never_made_or_no_longer_kept_cannot_be_resumed_from);
    RUN(test_reports_that_went_between_answer_and_first_frame_end_the_new_session_only);
    RUN(test_a_lost_line_cancels_orders_only_if_the_session_asked_for_it);
    RUN(test_a_broken_line_is_noticed_when_writing_too);
    RUN(test_an_idle_session_is_ended_and_a_ping_keeps_it);
    RUN(test_a_pending_session_is_idle_too);
    RUN(test_a_clock_set_forward_ends_nobody);
    RUN(test_frames_that_waited_while_the_process_was_stopped_are_read_first);
    RUN(test_a_revoked_key_ends_its_session_and_others_go_on);
    RUN(test_a_bad_key_list_changes_nothing);
    RUN(test_rotation_of_a_secret_leaves_no_gap);
    RUN(test_a_logoff_without_room_is_owed_and_paid_when_there_is_room);
    RUN(test_a_full_core_refuses_a_logon_and_the_client_may_try_again);
    RUN(test_a_sweep_that_goes_round_the_ring_ends_the_new_session_before_it_begins);
    RUN(test_a_full_core_leaves_the_old_session_alone);
    return checks_done();
}
