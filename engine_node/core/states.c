/* Trading states, and how an instrument, an account, a firm or everything is halted or killed (rules.md 9 and 17).
 *
 *   instrument_state ─┐                                      ┌─▶ open: RUN_UNCROSS ─▶ state, applied ─▶ RUN_FIRE
 *   halt, resume ─────┼─▶ state_set: state, end, core.timed ─┤─▶ closed: state, applied ─▶ RUN_CLOSE: day orders
 *   circuit breaker ──┘                                      └─▶ any other: state, applied
 *   clock tick ──▶ the next of core.timed whose time has come ──▶ RUN_UNCROSS ─▶ state ─▶ RUN_FIRE
 *
 * A kill halts first and then runs as a stage of its own, one order a step: each time it takes the first of what is
 * left of a book, or begins the sweep of one account more.
 */
#include "internal.h"

/* ---- The state of an instrument ---------------------------------------------------------------------------------- */

/* No instrument opens before core.opening_first_ns; 0: none is to open. Like core.countdown_first_ns it may be too
 * early, never too late. */
static void opening_note(core *c, uint64_t ends_ns) {
    if (c->opening_first_ns == 0 || ends_ns < c->opening_first_ns) c->opening_first_ns = ends_ns;
}

void state_set(core *c, uint32_t number, uint8_t state, uint64_t auction_ends_ns) {
    instrument *i = &c->instruments[number];
    SET(c, i, trading_state, 6, state);
    SET(c, i, auction_ends_ns, 19, auction_ends_ns);
    state_found(c, number);
}

void state_found(core *c, uint32_t number) {
    const instrument *i = &c->instruments[number];
    if (i->auction_ends_ns == 0) {
        set_remove(&c->timed, number);
        return;
    }
    set_add(&c->timed, number);
    opening_note(c, i->auction_ends_ns);
}

uint64_t opening_due_ns(const core *c) {
    return c->opening_first_ns == 0 || c->everything_halted ? UINT64_MAX : c->opening_first_ns;
}

static void opening_start(core *c, uint32_t number, opening how) {
    c->run.opening = how;
    c->run.opening.instrument = number;
    c->run.opening.price_ticks = auction_price(c, &c->instruments[number]).price_ticks;
    c->run.stage = RUN_UNCROSS;
}

/* The book no longer crosses: now it is open. */
static void opened(core *c) {
    run *r = &c->run;
    instrument *i = &c->instruments[r->opening.instrument];
    state_set(c, r->opening.instrument, TRADING_STATE_OPEN, 0);
    if (r->opening.static_price_ticks > 0) static_price_set(c, i, r->opening.static_price_ticks);
    put_instrument_state(c, r->opening.instrument, 0);
    if (r->opening.answers) put_applied(c, 0, r->opening.answer_instrument, 0, 0, 0);
    fire_start(c, r->opening.instrument);
}

/* Trade the next pair. Partners of what trades go (15), and with them some of what the price was found with: if the
 * book still crosses when the pairs are through, there is another price. */
void opening_step(core *c) {
    opening *o = &c->run.opening;
    if (uncross_step(c)) return;
    if (o->price_ticks != 0) o->price_ticks = auction_price(c, &c->instruments[o->instrument]).price_ticks;
    if (o->price_ticks == 0) opened(c);
}

bool openings_step(core *c) {
    run *r = &c->run;
    if (opening_due_ns(c) > c->received_ns) return false;
    while ((r->tick_at = set_next(&c->timed, r->tick_at + 1)) != 0)
        if (c->instruments[r->tick_at].auction_ends_ns <= c->received_ns) {
            opening_start(c, r->tick_at, (opening){0});
            return true;
        }
    c->opening_first_ns = 0;
    for (uint32_t n = set_next(&c->timed, 1); n != 0; n = set_next(&c->timed, n + 1))
        opening_note(c, c->instruments[n].auction_ends_ns);
    return false;
}

static uint16_t check_instrument_state(const core *c, const wire_instrument_state *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero) || !all_zero(o->zero2, sizeof o->zero2) ||
        !state_exists(o->trading_state) || (o->auction_ends_ns != 0 && !state_gathers(o->trading_state)))
        return CODE_MALFORMED;
    if (!instrument_known(c, o->instrument)) return CODE_UNKNOWN_INSTRUMENT;
    if (o->static_price_ticks < 0 || o->static_price_ticks > PRICE_TICKS_MAX) return CODE_LIMITS_INVALID;
    return o->auction_ends_ns != 0 && o->auction_ends_ns <= c->received_ns ? CODE_EXPIRY_PASSED : CODE_NONE;
}

uint16_t set_instrument_state(core *c, const wire_instrument_state *o) {
    const uint16_t code = check_instrument_state(c, o);
    if (code != CODE_NONE) return code;
    if (o->trading_state == TRADING_STATE_OPEN) {
        opening_start(c, o->instrument,
                      (opening){.static_price_ticks = o->static_price_ticks,
                                .answers = true,
                                .answer_instrument = o->instrument});
        return CODE_NONE;
    }
    instrument *i = &c->instruments[o->instrument];
    state_set(c, o->instrument, o->trading_state, o->auction_ends_ns);
    if (o->static_price_ticks > 0) static_price_set(c, i, o->static_price_ticks);
    put_instrument_state(c, o->instrument, 0);
    put_applied(c, 0, o->instrument, 0, 0, 0);
    if (o->trading_state == TRADING_STATE_CLOSED) {
        c->run.opening.instrument = o->instrument;
        c->run.stage = RUN_CLOSE;
    }
    return CODE_NONE;
}

/* What was good for the day ends with it. */
void closing_step(core *c) {
    if (!day_step(c, c->run.opening.instrument)) c->run.stage = c->run.then;
}

/* ---- Halts and kills --------------------------------------------------------------------------------------------- */

/* The next account above `above` that the command is about; 0 if there is none. */
static uint32_t next_account(const core *c, const halting *h, uint32_t above) {
    if (h->scope == HALT_SCOPE_ACCOUNT) return above == 0 ? h->target : 0;
    for (uint32_t n = above + 1; n < c->options.account_count_max; n++)
        if (c->accounts[n].firm == h->target) return n;
    return 0;
}

static uint16_t check_halt(const core *c, const wire_halt *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero) || o->action < HALT_ACTION_HALT ||
        o->action > HALT_ACTION_KILL || o->scope < HALT_SCOPE_EVERYTHING || o->scope > HALT_SCOPE_FIRM)
        return CODE_MALFORMED;
    switch (o->scope) {
    case HALT_SCOPE_EVERYTHING: return o->target != 0 ? CODE_MALFORMED : CODE_NONE;
    case HALT_SCOPE_INSTRUMENT: return instrument_known(c, o->target) ? CODE_NONE : CODE_UNKNOWN_INSTRUMENT;
    case HALT_SCOPE_ACCOUNT: return account_known(c, o->target) ? CODE_NONE : CODE_UNKNOWN_ACCOUNT;
    default: {
        const halting firm = {.scope = HALT_SCOPE_FIRM, .target = o->target};
        return o->target != 0 && next_account(c, &firm, 0) != 0 ? CODE_NONE : CODE_UNKNOWN_ACCOUNT;
    }
    }
}

static void halt_everything(core *c, bool halts) {
    c->digest += entity_key(TAG_WHOLE, 0, 0) * (mix(4) * ((uint64_t)halts - c->everything_halted));
    c->everything_halted = halts;
    put_state(c, 0, halts);
}

uint16_t set_halt(core *c, const wire_halt *o) {
    const uint16_t code = check_halt(c, o);
    if (code != CODE_NONE) return code;
    const bool halts = o->action != HALT_ACTION_RESUME;
    run *r = &c->run;
    r->halting =
        (halting){.scope = o->scope, .target = o->target, .halts = halts, .kills = o->action == HALT_ACTION_KILL};
    if (o->scope == HALT_SCOPE_INSTRUMENT && !halts) {
        opening_start(c, o->target, (opening){.answers = true});
        return CODE_NONE;
    }
    if (o->scope == HALT_SCOPE_INSTRUMENT) {
        state_set(c, o->target, TRADING_STATE_HALTED, 0);
        put_instrument_state(c, o->target, 0);
    } else if (o->scope == HALT_SCOPE_EVERYTHING) {
        halt_everything(c, halts);
    }
    r->halting.told = o->scope == HALT_SCOPE_INSTRUMENT || o->scope == HALT_SCOPE_EVERYTHING;
    r->sweep_count = 0;
    r->stage = r->then = RUN_HALT;
    return CODE_NONE;
}

/* Halt or resume the next account. False when all are told. */
static bool tell_account(core *c) {
    halting *h = &c->run.halting;
    const uint32_t number = next_account(c, h, h->at);
    if (number == 0) return false;
    account *a = &c->accounts[number];
    SET(c, a, halted, 3, h->halts);
    put_state(c, number, h->halts);
    h->at = number;
    return true;
}

/* The first of what is left in an instrument, in the order of rules.md 9; 0 if nothing is. */
static uint32_t first_open(const core *c, const instrument *i) {
    for (uint32_t side = SIDES_DISPLAYED; side < SIDES_FALLING; side++)
        if (i->sides[side].best != 0) return c->levels[i->sides[side].best].head;
    for (uint32_t side = 0; side < 2; side++)
        if (i->unlit[side].head != 0) return i->unlit[side].head;
    const uint32_t waits =
        i->sides[SIDES_RISING].best != 0 ? i->sides[SIDES_RISING].best : i->sides[SIDES_FALLING].best;
    return waits == 0 ? 0 : c->levels[waits].head;
}

/* Cancel one order of the instrument, or of the next that has one. False when none is left. */
static bool kill_in_books(core *c) {
    halting *h = &c->run.halting;
    if (h->scope == HALT_SCOPE_INSTRUMENT) h->at = h->target;
    for (; h->at < c->options.instrument_count_max; h->at++) {
        const uint32_t slot = first_open(c, &c->instruments[h->at]);
        if (slot != 0) {
            cancel_open(c, slot, CODE_CANCELLED_BY_KILL, 0);
            h->count++;
            return true;
        }
        if (h->scope == HALT_SCOPE_INSTRUMENT) return false;
    }
    return false;
}

/* Begin the sweep of the next account. False when none is left. */
static bool kill_in_account(core *c) {
    halting *h = &c->run.halting;
    h->count += c->run.sweep_count;
    c->run.sweep_count = 0;
    h->at = next_account(c, h, h->at);
    if (h->at == 0) return false;
    sweep_start(c, h->at, 0, 0, 0, CODE_CANCELLED_BY_KILL);
    return true;
}

void halt_step(core *c) {
    halting *h = &c->run.halting;
    if (!h->told) {
        if (tell_account(c)) return;
        h->told = true;
        h->at = 0;
    }
    if (h->kills) {
        const bool books = h->scope == HALT_SCOPE_INSTRUMENT || h->scope == HALT_SCOPE_EVERYTHING;
        if (books ? kill_in_books(c) : kill_in_account(c)) return;
    }
    put_applied(c, 0, 0, 0, 0, h->count);
    c->run.stage = c->run.then = RUN_DONE;
}
