/* Section 16: what a clock tick brings, and the countdown that it may end. */
#include "state.h"

static uint16_t check_countdown(plain *book, const command *c) {
    const wire_countdown_cancel *w = &AS(wire_countdown_cancel, c);
    const uint16_t code = plain_take_nonce(book, c);
    if (code != CODE_NONE) return code;
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    return plain_account_find(book, w->account) == NULL ? CODE_UNKNOWN_ACCOUNT : CODE_NONE;
}

void plain_countdown(plain *book, const command *c) {
    const wire_countdown_cancel *w = &AS(wire_countdown_cancel, c);
    const uint16_t code = check_countdown(book, c);
    if (code != CODE_NONE) {
        plain_reject(book, c, code);
        return;
    }
    key *k = plain_key_of(book, c->key);
    const wide deadline = (wide)c->received_ns + (wide)w->timeout_ms * 1000000;
    k->countdown_account = w->account;
    k->deadline_ns = w->timeout_ms == 0 ? 0 : (uint64_t)plain_least(deadline, UINT64_MAX);
    plain_report_applied(book, c, (wire_report){.account = w->account, .client_order_id = w->client_order_id});
}

/* The key with the lowest number above `above` whose time is over. */
static key *next_overdue(const plain *book, uint32_t above, uint64_t now_ns) {
    key *found = NULL;
    for (key *k = book->keys; k != NULL; k = k->next) {
        if (k->number <= above || k->deadline_ns == 0 || k->deadline_ns > now_ns) continue;
        if (found == NULL || k->number < found->number) found = k;
    }
    return found;
}

static void end_countdowns(plain *book, const command *c) {
    for (key *k = next_overdue(book, 0, c->received_ns); k != NULL; k = next_overdue(book, k->number, c->received_ns)) {
        k->deadline_ns = 0;
        account *who = plain_account_find(book, k->countdown_account);
        plain_cancel_all(book, c, who, 0, 0, k->number, CODE_CANCELLED_COUNTDOWN);
    }
}

void plain_clock_tick(plain *book, const command *c) { end_countdowns(book, c); }
