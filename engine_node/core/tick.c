/* Time: what a clock tick brings, and the dead man's switch (rules.md 16).
 *
 *   clock_tick ── expired orders, by (time, id) ── keys whose countdown has ended, by number ── openings ── book events
 *
 * Each is a phase of the stage RUN_TICK and does one thing a step: one order expires, one key's sweep begins, one
 * instrument opens. What that sets going (a sweep, an uncrossing, what fires) runs as stages of its own and comes back
 * here through run.then.
 */
#include "internal.h"

/* ---- Countdowns -------------------------------------------------------------------------------------------------- */

/* No countdown ends before core.countdown_first_ns; 0: none runs. A renewal leaves it too early, never too late, so the
 * keys are looked through at most once a while, not on every tick. */
static void countdown_set(core *c, uint32_t key, uint64_t deadline_ns, uint32_t account_number) {
    key_state *k = &c->keys[key];
    DIGEST_ADD(c, k, 7, deadline_ns - k->countdown_ns);
    DIGEST_ADD(c, k, 8, (uint64_t)account_number - k->countdown_account);
    k->countdown_ns = deadline_ns;
    k->countdown_account = account_number;
    countdown_note(c, deadline_ns);
}

void countdown_note(core *c, uint64_t deadline_ns) {
    if (deadline_ns != 0 && (c->countdown_first_ns == 0 || deadline_ns < c->countdown_first_ns))
        c->countdown_first_ns = deadline_ns;
}

void do_countdown_cancel(core *c, const wire_countdown_cancel *o) {
    uint16_t code = CODE_NONE;
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) code = CODE_MALFORMED;
    else if (!account_known(c, o->account)) code = CODE_UNKNOWN_ACCOUNT;
    if (code != CODE_NONE) {
        put_reject(c, (const wire_header *)o, code);
        return;
    }
    const uint64_t timeout_ns = (uint64_t)o->timeout_ms * 1000000u;
    const uint64_t deadline_ns = timeout_ns == 0                            ? 0
                                 : c->received_ns > UINT64_MAX - timeout_ns ? UINT64_MAX
                                                                            : c->received_ns + timeout_ns;
    countdown_set(c, c->run.key, deadline_ns, o->account);
    put_applied(c, o->account, 0, 0, o->client_order_id, 0);
}

/* Begin the sweep of the next key whose countdown has ended. False when there is none left. */
static bool countdown_step(core *c) {
    run *r = &c->run;
    if (c->countdown_first_ns == 0 || c->countdown_first_ns > c->received_ns) return false;
    while (++r->tick_at < c->options.key_count_max) {
        const key_state *k = &c->keys[r->tick_at];
        if (k->countdown_ns == 0 || k->countdown_ns > c->received_ns) continue;
        countdown_set(c, r->tick_at, 0, k->countdown_account);
        sweep_start(c, k->countdown_account, 0, r->tick_at, 0, CODE_CANCELLED_COUNTDOWN);
        return true;
    }
    c->countdown_first_ns = 0;
    for (uint32_t key = 1; key < c->options.key_count_max; key++) countdown_note(c, c->keys[key].countdown_ns);
    return false;
}

/* ---- The tick ---------------------------------------------------------------------------------------------------- */

void tick_start(core *c) {
    c->run.stage = c->run.then = RUN_TICK;
    c->run.tick_phase = TICK_EXPIRIES;
    c->run.tick_at = 0;
}

void tick_step(core *c) {
    run *r = &c->run;
    switch (r->tick_phase) {
    case TICK_EXPIRIES:
        if (expiry_step(c)) return;
        break;
    case TICK_COUNTDOWNS:
        if (countdown_step(c)) return;
        break;
    case TICK_OPENINGS:
        if (openings_step(c)) return;
        break;
    case TICK_BOOKS:
        if (books_step(c)) return;
        break;
    default: r->stage = r->then = RUN_DONE; return;
    }
    r->tick_phase++;
    r->tick_at = 0;
}

/* When the next tick would find something to do. */
uint64_t core_due_ns(const core *c) {
    uint64_t due_ns = c->expiry_count == 0 ? UINT64_MAX : c->expiries[1].expire_ns;
    if (c->countdown_first_ns != 0 && c->countdown_first_ns < due_ns) due_ns = c->countdown_first_ns;
    return opening_due_ns(c) < due_ns ? opening_due_ns(c) : due_ns;
}
