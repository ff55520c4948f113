/* What goes out: whole messages in order whatever the kernel takes, held back for the disk, and the end of slow
 * readers. */
#include "support/check.h"
#include "support/ingress_rig.h"

#define KEPT 256

static rig r;
static client c;
static wire_report got[8192];

static void begin(journal_level level) {
    rig_make(&r, 1);
    r.options.level = level;
    r.options.core.reports_kept = KEPT;
    rig_start(&r);
    rig_define_market(&r);
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
}

static void queue_order(int64_t price) {
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, price, 5);
    client_queue(&c, &order);
}

static uint32_t take_bytes(uint8_t *to, size_t room) { return (uint32_t)host_sim_peer_take(r.sim, c.socket, to, room); }

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static void test_a_pong_comes_behind_the_reports_of_the_frames_before_its_ping(void) {
    for (int level = JOURNAL_PROCESS; level <= JOURNAL_CLUSTER; level++) {
        begin((journal_level)level);
        for (int i = 0; i < 3; i++) {
            queue_order(100);
            const wire_ping ping = client_ping(&c, (uint64_t)i);
            client_queue(&c, &ping);
        }
        client_work(&c);
        CHECK_EQUAL(client_take(&c, got, 10), level == JOURNAL_PROCESS ? 6 : 0);
        if (level != JOURNAL_PROCESS) {
            rig_settle(&r);
            CHECK_EQUAL(client_take(&c, got, 10), 6);
        }
        for (uint32_t i = 0; i < 6; i += 2) {
            CHECK_EQUAL(got[i].kind, EVENT_ACCEPTED);
            CHECK_EQUAL(got[i].report_number, 1 + i / 2);
            CHECK_EQUAL(got[i + 1].kind, MESSAGE_PONG);
            CHECK_EQUAL(got[i + 1].reference, i / 2);
            CHECK_EQUAL(got[i + 1].order_id, 1 + i / 2);
        }
        rig_end(&r);
    }
}

/* A line that takes a few bytes at a time, in every odd size, with messages and reports mixed: the stream stays
 * whole. */
static void test_a_line_that_takes_a_few_bytes_at_a_time_gets_the_same_stream(void) {
    for (size_t room = 1; room < 400; room += 37) {
        begin(JOURNAL_PROCESS);
        host_sim_socket_room(r.sim, c.socket, room);
        for (int i = 0; i < 60; i++) {
            queue_order(100 + i);
            const wire_ping ping = client_ping(&c, (uint64_t)i);
            if (i % 3 == 0) client_queue(&c, &ping);
        }
        client_work(&c);
        CHECK_EQUAL(r.want_write_count, 1);
        uint8_t *to = (uint8_t *)got;
        size_t bytes = 0;
        for (int i = 0; i < 20000 && bytes < 80 * sizeof *got; i++) {
            bytes += take_bytes(to + bytes, sizeof got - bytes);
            ingress_writable(r.in, c.name);
        }
        CHECK_EQUAL(bytes, 80 * sizeof *got);
        CHECK_EQUAL(r.want_write_count, 0);
        uint64_t number = 0, pongs = 0;
        for (uint32_t i = 0; i < 80; i++) {
            if (got[i].kind == MESSAGE_PONG) {
                CHECK_EQUAL(got[i].reference, 3 * pongs++);
                CHECK_EQUAL(number, got[i].order_id);
            } else {
                CHECK_EQUAL(got[i].report_number, ++number);
                CHECK_EQUAL(got[i].price_ticks, 99 + (int64_t)number);
            }
        }
        CHECK_EQUAL(rig_counters(&r)->reports_sent - 15, 60);
        rig_end(&r);
    }
}

static void test_a_burst_of_more_reports_than_are_kept_reaches_a_quick_reader_whole(void) {
    for (int level = JOURNAL_PROCESS; level <= JOURNAL_CLUSTER; level++) {
        begin((journal_level)level);
        for (int i = 0; i < 1000; i++) queue_order(100 + i % 7);
        uint32_t count = 0;
        for (int i = 0; i < 200 && count < 1000; i++) {
            count += client_take(&c, got + count, 8192 - count);
            rig_settle(&r);
        }
        CHECK_EQUAL(count, 1000);
        for (uint32_t i = 0; i < count; i++) CHECK_EQUAL(got[i].report_number, i + 1);
        CHECK((rig_counters(&r)->stalls > 0) == (level != JOURNAL_PROCESS));
        rig_end(&r);
    }
}

/* One command that cancels far more orders than reports are kept: sent in pieces while it is under way. */
static void test_one_command_with_more_reports_than_are_kept_loses_none(void) {
    for (int level = JOURNAL_PROCESS; level <= JOURNAL_DISK; level++) {
        begin((journal_level)level);
        uint32_t count = 0;
        for (int i = 0; i < 900; i++) {
            queue_order(100 + i % 7);
            if (i % 100 != 99) continue;
            client_work(&c);
            rig_settle(&r);
            count += client_take(&c, got, 8192);
        }
        CHECK_EQUAL(count, 900);
        const wire_mass_cancel mass = {.kind = KIND_MASS_CANCEL, .client_sequence = ++c.sequence, .account = 2};
        client_send(&c, &mass);
        rig_settle(&r);
        count = client_take(&c, got, 8192);
        CHECK_EQUAL(count, 901);
        for (uint32_t i = 0; i < count; i++) CHECK_EQUAL(got[i].report_number, 901 + i);
        CHECK_EQUAL(got[900].kind, EVENT_APPLIED);
        CHECK_EQUAL(got[900].quantity_lots, 900);
        rig_end(&r);
    }
}

/* ---- Held back for the disk -------------------------------------------------------------------------------------- */

static void test_nothing_leaves_before_the_disk_has_it(void) {
    begin(JOURNAL_DISK);
    for (int i = 0; i < 5; i++) queue_order(100);
    client_work(&c);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    ingress_on_wake(r.in); /* woken for nothing */
    ingress_on_timer(r.in);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 10), 5);
    rig_end(&r);
}

static void test_a_failed_sync_ends_everything_and_nothing_more_is_acknowledged(void) {
    begin(JOURNAL_DISK);
    queue_order(100);
    client_work(&c);
    host_sim_fail_sync(r.sim, 0, 5); /* EIO */
    while (ingress_step(r.in)) continue;
    ingress_on_wake(r.in);
    CHECK(r.failed);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    queue_order(101);
    client_work(&c);
    ingress_on_timer(r.in);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    uint64_t name;
    CHECK_EQUAL(ingress_accept(r.in, 5, rig_address(1), false, &name), INGRESS_E_STOPPED);
    CHECK_EQUAL(ingress_finish(r.in, &r.error), INGRESS_E_JOURNAL);
    CHECK_EQUAL(client_take(&c, got, 10) - 1, 0);
    CHECK_EQUAL(got[0].code, CODE_SERVER_STOPPING);
    rig_end(&r);
}

/* ---- Slow readers ------------------------------------------------------------------------------------------------ */

static void test_a_reader_that_takes_nothing_is_ended_and_others_go_on(void) {
    begin(JOURNAL_PROCESS);
    client slow;
    client_logon(&slow, &r, 3, RESUME_NEW_ONLY, LOGON_OPTION_CANCEL_ON_DISCONNECT);
    client_take(&slow, got, 10);
    for (int i = 0; i < 200; i++) {
        const wire_new_order order = client_order(&slow, 3, SIDE_SELL, 200, 1);
        client_send(&slow, &order);
    }
    CHECK_EQUAL(client_take(&slow, got, 300), 200);
    host_sim_socket_room(r.sim, slow.socket, 100);
    uint32_t mine = 0; /* fills of the slow one's orders, and its new orders: its ring fills while it reads nothing */
    for (int round = 0; round < 400 && rig_counters(&r)->ended_slow_reader == 0; round++) {
        const wire_new_order sell = client_order(&slow, 3, SIDE_SELL, 200, 1);
        client_send(&slow, &sell);
        const wire_new_order buy = client_order(&c, 2, SIDE_BUY, 200, 1);
        client_send(&c, &buy);
        mine += client_take(&c, got, 100);
    }
    CHECK_EQUAL(rig_counters(&r)->ended_slow_reader, 1);
    CHECK_EQUAL(rig_closed_code(&r, slow.socket), CODE_SLOW_READER);
    core_key_info info;
    CHECK(core_key(ingress_core(r.in), 2, &info));
    CHECK_EQUAL(mine, info.last_report_number);
    queue_order(50);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

static void test_a_client_that_pings_and_never_reads_is_ended(void) {
    begin(JOURNAL_PROCESS);
    host_sim_socket_room(r.sim, c.socket, 1000);
    for (uint64_t i = 0; i < 400; i++) {
        const wire_ping ping = client_ping(&c, i);
        client_queue(&c, &ping);
    }
    client_work(&c);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_SLOW_READER);
    rig_end(&r);
}

static void test_a_flood_of_pings_from_a_reader_is_answered_whole(void) {
    for (int level = JOURNAL_PROCESS; level <= JOURNAL_CLUSTER; level++) {
        begin((journal_level)level);
        queue_order(100); /* held back at level disk, and the pongs behind it */
        for (uint64_t i = 0; i < 1000; i++) {
            const wire_ping ping = client_ping(&c, i);
            client_queue(&c, &ping);
        }
        client_work(&c);
        rig_settle(&r);
        const uint32_t count = client_take(&c, got, 8192);
        CHECK_EQUAL(count, 1001);
        uint64_t pongs = 0;
        for (uint32_t i = 0; i < count; i++)
            if (got[i].kind == MESSAGE_PONG) CHECK_EQUAL(got[i].reference, pongs++);
        CHECK_EQUAL(pongs, 1000);
        rig_end(&r);
    }
}

/* More pongs than can wait: what is held makes reading stop, it neither overtakes nor ends the session. */
static void test_a_burst_of_pings_waits_for_the_disk_and_is_answered_in_order(void) {
    begin(JOURNAL_DISK);
    queue_order(100);
    for (uint64_t i = 0; i < 300; i++) {
        const wire_ping ping = client_ping(&c, i);
        client_queue(&c, &ping);
    }
    CHECK_EQUAL(client_take(&c, got, 8192), 0);
    ingress_on_wake(r.in); /* woken for nothing */
    ingress_on_timer(r.in);
    CHECK_EQUAL(client_take(&c, got, 8192), 0);
    CHECK(rig_counters(&r)->stalls > 0);
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 8192), 301);
    CHECK_EQUAL(got[0].kind, EVENT_ACCEPTED);
    for (uint64_t i = 0; i < 300; i++) {
        CHECK_EQUAL(got[1 + i].kind, MESSAGE_PONG);
        CHECK_EQUAL(got[1 + i].reference, i);
        CHECK_EQUAL(got[1 + i].order_id, 1);
    }
    CHECK_EQUAL(rig_closed_code(&r, c.socket), 0xffff);
    rig_end(&r);
}

/* Of a lost session with unsynced orders: neither the logon's answer nor a repeat may tell of them. */
static void test_a_logon_answer_waits_for_the_disk_too(void) {
    begin(JOURNAL_DISK);
    queue_order(100);
    client_work(&c);
    client second;
    CHECK(client_connect(&second, &r, 2, rig_address(2)));
    client_request(&second, 0, 0);
    client_write(&second, &second.request, sizeof second.request);
    client_work(&second);
    CHECK_EQUAL(host_sim_peer_waiting(r.sim, second.socket), 0);
    rig_settle(&r);
    wire_logon_answer answer;
    CHECK_EQUAL(host_sim_peer_take(r.sim, second.socket, &answer, sizeof answer), sizeof answer);
    CHECK_EQUAL(answer.kind, MESSAGE_LOGON_ANSWER);
    CHECK_EQUAL(answer.last_client_sequence, 1);
    CHECK_EQUAL(answer.last_report_number, 1);
    rig_end(&r);
}

static void test_reports_only_held_back_do_not_make_a_reader_slow(void) {
    begin(JOURNAL_DISK);
    for (int i = 0; i < 2000; i++) queue_order(100 + i % 7);
    for (int i = 0; i < 50; i++) {
        client_work(&c);
        ingress_on_wake(r.in); /* as often as you like: the disk has not come after */
        ingress_on_timer(r.in);
    }
    CHECK(rig_counters(&r)->stalls > 0);
    CHECK(rig_counters(&r)->commands < 15 + KEPT);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    uint32_t count = 0;
    for (int i = 0; i < 100 && count < 2000; i++) {
        rig_settle(&r);
        count += client_take(&c, got + count, 8192 - count);
    }
    CHECK_EQUAL(count, 2000);
    rig_end(&r);
}

/* While nothing is read for the disk's sake, silence is no fault; what waited in the sockets is read before the next
 * round. */
static void test_nobody_is_idle_while_reading_is_stalled(void) {
    begin(JOURNAL_DISK);
    client other;
    client_logon(&other, &r, 3, RESUME_NEW_ONLY, 0);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&other).kind, MESSAGE_PONG);
    for (int i = 0; i < 300; i++) queue_order(100 + i % 7);
    client_work(&c);
    CHECK(rig_counters(&r)->stalls > 0);
    const wire_ping ping = client_ping(&other, 5);
    client_send(&other, &ping);
    rig_wait(&r, 2 * r.options.idle_ms * 1000000ull);
    CHECK_EQUAL(client_take(&other, got, 10), 0);
    while (ingress_step(r.in)) continue;
    ingress_on_timer(r.in); /* the disk has come after; the timer is first */
    CHECK_EQUAL(rig_closed_code(&r, other.socket), 0xffff);
    rig_settle(&r);
    client_work(&c);
    rig_settle(&r);
    client_work(&other);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&other).kind, MESSAGE_PONG);
    rig_wait(&r, RIG_SECOND_NS);
    CHECK_EQUAL(rig_closed_code(&r, other.socket), 0xffff);
    CHECK_EQUAL(client_take(&c, got, 8192), 300);
    rig_end(&r);
}

int main(void) {
    RUN(test_a_pong_comes_behind_the_reports_of_the_frames_before_its_ping);
    RUN(test_a_line_that_takes_a_few_bytes_at_a_time_gets_the_same_stream);
    RUN(test_a_burst_of_more_reports_than_are_kept_reaches_a_quick_reader_whole);
    RUN(test_one_command_with_more_reports_than_are_kept_loses_none);
    RUN(test_nothing_leaves_before_the_disk_has_it);
    RUN(test_a_failed_sync_ends_everything_and_nothing_more_is_acknowledged);
    RUN(test_a_reader_that_takes_nothing_is_ended_and_others_go_on);
    RUN(test_a_client_that_pings_and_never_reads_is_ended);
    RUN(test_a_flood_of_pings_from_a_reader_is_answered_whole);
    RUN(test_a_burst_of_pings_waits_for_the_disk_and_is_answered_in_order);
    RUN(test_a_logon_answer_waits_for_the_disk_too);
    RUN(test_reports_only_held_back_do_not_make_a_reader_slow);
    RUN(test_nobody_is_idle_while_reading_is_stalled);
    return checks_done();
}
