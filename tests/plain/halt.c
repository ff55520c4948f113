/* Section 9: halts, resumptions, kills. */
#include "state.h"

static bool firm_known(const plain *book, uint32_t firm) {
    for (const account *who = book->accounts; who != NULL; who = who->next)
        if (who->firm == firm) return true;
    return false;
}

uint16_t plain_halt_check(const plain *book, const command *c) {
    const wire_halt *w = &AS(wire_halt, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (!between(HALT_SCOPE_EVERYTHING, w->scope, HALT_SCOPE_FIRM)) return CODE_MALFORMED;
    if (!between(HALT_ACTION_HALT, w->action, HALT_ACTION_KILL)) return CODE_MALFORMED;
    if (w->scope == HALT_SCOPE_EVERYTHING && w->target != 0) return CODE_MALFORMED;
    if (w->scope == HALT_SCOPE_INSTRUMENT && plain_instrument_find(book, w->target) == NULL)
        return CODE_UNKNOWN_INSTRUMENT;
    if (w->scope == HALT_SCOPE_ACCOUNT && plain_account_find(book, w->target) == NULL) return CODE_UNKNOWN_ACCOUNT;
    if (w->scope == HALT_SCOPE_FIRM && !firm_known(book, w->target)) return CODE_UNKNOWN_ACCOUNT;
    return CODE_NONE;
}

static bool is_target(const wire_halt *w, const account *who) {
    return w->scope == HALT_SCOPE_ACCOUNT ? who->number == w->target : who->firm == w->target;
}

static uint32_t kill_instrument(plain *book, const command *c, instrument *in) {
    uint32_t count = 0;
    for (int list = 0; list < LIST_COUNT; list++)
        for (; in->lists[list] != NULL; count++) plain_cancel_open(book, c, in->lists[list], CODE_CANCELLED_BY_KILL, 0);
    return count;
}

static uint32_t kill_targets(plain *book, const command *c, const wire_halt *w) {
    uint32_t count = 0;
    if (w->scope == HALT_SCOPE_EVERYTHING || w->scope == HALT_SCOPE_INSTRUMENT) {
        for (instrument *in = book->instruments; in != NULL; in = in->next)
            if (w->scope == HALT_SCOPE_EVERYTHING || in->number == w->target) count += kill_instrument(book, c, in);
        return count;
    }
    for (account *who = book->accounts; who != NULL; who = who->next)
        if (is_target(w, who)) count += plain_cancel_all(book, c, who, 0, 0, 0, CODE_CANCELLED_BY_KILL);
    return count;
}

void plain_halt(plain *book, const command *c) {
    const wire_halt *w = &AS(wire_halt, c);
    const bool halted = w->action != HALT_ACTION_RESUME;
    const wire_report resumed = {0};
    if (w->scope == HALT_SCOPE_EVERYTHING) {
        book->everything_halted = halted;
        plain_event_halt(book, c, halted, 0);
    } else if (w->scope == HALT_SCOPE_INSTRUMENT) {
        plain_move(book, c, plain_instrument_find(book, w->target), halted ? TRADING_STATE_HALTED : TRADING_STATE_OPEN,
                   0, 0, halted ? NULL : &resumed);
        if (!halted) return; /* applied is told, before what has fired */
    } else {
        for (account *who = book->accounts; who != NULL; who = who->next) {
            if (!is_target(w, who)) continue;
            who->halted = halted;
            plain_event_halt(book, c, halted, who->number);
        }
    }
    const uint32_t killed = w->action == HALT_ACTION_KILL ? kill_targets(book, c, w) : 0;
    plain_report_applied(book, c, (wire_report){.quantity_lots = killed});
}
