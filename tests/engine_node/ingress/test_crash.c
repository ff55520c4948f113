/* The power fails at every change to the disk, or the process dies after every step: whatever a client was told, by
 * report, logon answer or pong, is there after the restart, byte for byte, and it resumes without a gap. At level
 * cluster it had been shipped, too.
 *
 *   script ── orders of two clients, some meet ──▶ ingress at level disk or cluster ──▶ power cut at change n
 *   restart ── replay ──▶ every report that a client received = the core's report of that number
 */
#include "support/check.h"
#include "support/ingress_rig.h"

#define STEP_COUNT 40
#define REPORTS_MAX 1024

static rig r;
static client clients[2];

/* What each client has been told, by report number. */
static wire_report told[2][REPORTS_MAX];
static uint64_t told_last[2];

/* The highest numbers that a logon's answer or a pong named: client sequence, report. */
static uint64_t recorded_last[2], made_last[2];

static void listen_to(int i) {
    wire_report got[64];
    const bool cluster = r.options.level == JOURNAL_CLUSTER && !host_sim_is_off(r.sim);
    const uint64_t shipped = cluster ? rig_ship(&r, 0) : UINT64_MAX;
    for (uint32_t count; (count = client_take(&clients[i], got, 64)) > 0;)
        for (uint32_t n = 0; n < count; n++) {
            if (got[n].kind == MESSAGE_PONG && got[n].order_id > recorded_last[i]) recorded_last[i] = got[n].order_id;
            if (got[n].report_number == 0) continue;
            CHECK(got[n].sequence <= shipped);
            CHECK_EQUAL(got[n].report_number, told_last[i] + 1); /* no gap and no repeat, over all sessions */
            CHECK(got[n].report_number < REPORTS_MAX);
            told[i][++told_last[i]] = got[n];
        }
}

static void begin(uint64_t seed, journal_level level) {
    rig_make(&r, seed);
    r.options.level = level;
    r.publisher_away = false;
    r.options.digest_interval_records = 7;
    rig_start(&r);
    rig_define_market(&r);
    memset(told_last, 0, sizeof told_last);
    memset(recorded_last, 0, sizeof recorded_last);
    memset(made_last, 0, sizeof made_last);
}

/* Log on again, resuming behind what was told, and resend nothing: the script goes on from what is recorded. */
static void log_on(int i) {
    client *c = &clients[i];
    CHECK(client_connect(c, &r, 2 + (uint32_t)i, rig_address(2 + (uint8_t)i)));
    client_request(c, told_last[i], 0);
    if (!client_send_request(c)) { /* the power failed before its answer was safe */
        CHECK(host_sim_is_off(r.sim));
        return;
    }
    if (c->answer.last_client_sequence > recorded_last[i]) recorded_last[i] = c->answer.last_client_sequence;
    if (c->answer.last_report_number > made_last[i]) made_last[i] = c->answer.last_report_number;
    const wire_ping ping = client_ping(c, 1);
    client_send(c, &ping);
    rig_settle(&r);
    listen_to(i);
}

static void play(int step) {
    const int i = step % 2;
    for (int n = 0; n < 3; n++) {
        const wire_new_order order =
            client_order(&clients[i], 2 + (uint32_t)i, (uint8_t)(SIDE_BUY + i), 100 + (step * 5 + n) % 3, 1 + n);
        client_queue(&clients[i], &order);
    }
    const wire_ping ping = client_ping(&clients[i], (uint64_t)step);
    client_queue(&clients[i], &ping);
    client_work(&clients[i]);
    if (step % 8 == 4) log_on(i);      /* while the disk is behind */
    r.publisher_away = step % 4 == 3;  /* and now and then it ships only a part */
    if (step % 3 != 1) rig_settle(&r); /* now and then the disk is behind */
    if (r.publisher_away && r.options.level == JOURNAL_CLUSTER && !host_sim_is_off(r.sim))
        rig_ship(&r, core_sequence(ingress_core(r.in)) - 2);
    r.publisher_away = false;
    for (int k = 0; k < 2; k++) listen_to(k);
}

static void restart(void) {
    rig_crash(&r);
    rig_start(&r);
    const core *c = ingress_core(r.in);
    const char *fault = core_check(c);
    if (fault != NULL) fprintf(stderr, "%s\n", fault);
    CHECK(fault == NULL);
    for (uint32_t i = 0; i < 2; i++) {
        core_key_info info = {0};
        core_key(c, 2 + i, &info);
        CHECK(info.last_client_sequence >= recorded_last[i]);
        CHECK(info.last_report_number >= made_last[i]);
        for (uint64_t number = 1; number <= told_last[i]; number++) {
            const wire_report *kept = core_report(c, 2 + i, number);
            CHECK(kept != NULL);
            CHECK(memcmp(kept, &told[i][number], sizeof *kept) == 0);
        }
    }
}

/* How many changes the whole script makes to the disk. */
static uint64_t changes_of_script(journal_level level) {
    begin(1, level);
    const uint64_t before = host_sim_changes(r.sim);
    for (int i = 0; i < 2; i++) log_on(i);
    for (int step = 0; step < STEP_COUNT; step++) play(step);
    const uint64_t changes = host_sim_changes(r.sim) - before;
    rig_end(&r);
    return changes;
}

static void lose_power_at_every_change(journal_level level) {
    const uint64_t changes = changes_of_script(level);
    CHECK(changes > STEP_COUNT / 2);
    for (uint64_t cut = 1; cut <= changes; cut++) {
        begin(cut, level);
        host_sim_power_cut_at(r.sim, host_sim_changes(r.sim) + cut);
        for (int i = 0; i < 2 && !host_sim_is_off(r.sim); i++) log_on(i);
        for (int step = 0; step < STEP_COUNT && !host_sim_is_off(r.sim); step++) play(step);
        CHECK(host_sim_is_off(r.sim));
        restart();
        for (int i = 0; i < 2; i++) log_on(i);
        for (int step = 0; step < 6; step++) play(step);
        rig_settle(&r);
        for (int i = 0; i < 2; i++) listen_to(i);
        restart();
        rig_end(&r);
    }
}

static void test_whatever_a_client_was_told_survives_a_loss_of_power_at_every_change(void) {
    lose_power_at_every_change(JOURNAL_DISK);
}

static void test_at_level_cluster_it_was_shipped_too(void) { lose_power_at_every_change(JOURNAL_CLUSTER); }

static void test_whatever_a_client_was_told_survives_kill_after_every_step(void) {
    for (int level = JOURNAL_PROCESS; level <= JOURNAL_CLUSTER; level++) {
        begin(1, (journal_level)level);
        for (int step = 0; step < STEP_COUNT; step++) {
            for (int i = 0; i < 2; i++) log_on(i);
            play(step);
            restart();
        }
        CHECK_EQUAL(core_term(ingress_core(r.in)), STEP_COUNT + 1);
        rig_end(&r);
    }
}

int main(void) {
    RUN(test_whatever_a_client_was_told_survives_a_loss_of_power_at_every_change);
    RUN(test_at_level_cluster_it_was_shipped_too);
    RUN(test_whatever_a_client_was_told_survives_kill_after_every_step);
    return checks_done();
}
