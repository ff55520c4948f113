/* Sections 9 and 19: deposits, withdrawals, fees paid out, floors. */
#include "state.h"

/* How far below zero the accounts may go in this asset, all together, as an amount above zero; `except` not counted. */
static wide floors_of(const plain *book, uint32_t asset, const balance *except) {
    wide sum = 0;
    for (const account *who = book->accounts; who != NULL; who = who->next)
        for (const balance *b = who->balances; b != NULL; b = b->next)
            if (b->asset == asset && b != except) sum -= b->floor;
    return sum;
}

static uint16_t deposit(const plain *book, asset *a, balance *b, int64_t amount) {
    if ((wide)a->supply + amount + floors_of(book, a->number, NULL) > UNITS_MAX) return CODE_AMOUNT_INVALID;
    a->supply += amount;
    b->free += amount;
    return CODE_NONE;
}

static uint16_t withdraw(asset *a, balance *b, int64_t amount) {
    if (b->free < amount) return CODE_INSUFFICIENT_FUNDS;
    if ((wide)a->supply - amount < -(wide)UNITS_MAX) return CODE_AMOUNT_INVALID;
    a->supply -= amount;
    b->free -= amount;
    return CODE_NONE;
}

static uint16_t pay_out(asset *a, balance *b, int64_t amount) {
    if (a->fees < amount) return CODE_INSUFFICIENT_FUNDS;
    a->fees -= amount;
    b->free += amount;
    return CODE_NONE;
}

/* A deposit, a withdrawal or a fee payout: the three have one layout. */
uint16_t plain_move_money(plain *book, const command *c) {
    const wire_deposit *w = &AS(wire_deposit, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    account *who = plain_account_find(book, w->account);
    if (who == NULL) return CODE_UNKNOWN_ACCOUNT;
    asset *a = plain_asset_find(book, w->asset);
    if (a == NULL) return CODE_UNKNOWN_ASSET;
    if (w->amount_units <= 0) return CODE_AMOUNT_INVALID;
    balance *b = plain_balance_of(who, w->asset);
    uint16_t code;
    if (c->kind == KIND_DEPOSIT) code = deposit(book, a, b, w->amount_units);
    else if (c->kind == KIND_WITHDRAWAL) code = withdraw(a, b, w->amount_units);
    else code = pay_out(a, b, w->amount_units);
    if (code != CODE_NONE) return code;
    const int64_t change = c->kind == KIND_WITHDRAWAL ? -w->amount_units : w->amount_units;
    plain_event_balance(book, c, who, w->asset, change, w->reference);
    return CODE_NONE;
}

uint16_t plain_balance_floor(plain *book, const command *c) {
    const wire_balance_floor *w = &AS(wire_balance_floor, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    account *who = plain_account_find(book, w->account);
    if (who == NULL) return CODE_UNKNOWN_ACCOUNT;
    const asset *a = plain_asset_find(book, w->asset);
    if (a == NULL) return CODE_UNKNOWN_ASSET;
    if (w->floor_units > 0 || w->floor_units < -UNITS_MAX) return CODE_LIMITS_INVALID;
    balance *b = plain_balance_of(who, w->asset);
    if (a->supply + floors_of(book, a->number, b) - w->floor_units > UNITS_MAX) return CODE_LIMITS_INVALID;
    if (b->free < w->floor_units) return CODE_INSUFFICIENT_FUNDS;
    b->floor = w->floor_units;
    return CODE_NONE;
}
