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

/* The open order whose time is over: by time, then id. Cancelling it may cancel another, so each is looked for anew. */
static order *next_expired(const plain *book, uint64_t now_ns) {
    order *found = NULL;
    for (const instrument *in = book->instruments; in != NULL; in = in->next) {
        for (int list = 0; list < LIST_COUNT; list++) {
            for (order *o = in->lists[list]; o != NULL; o = o->next) {
                if (o->expire_ns == 0 || o->expire_ns > now_ns) continue;
                const bool sooner = found == NULL || o->expire_ns < found->expire_ns;
                if (sooner || (o->expire_ns == found->expire_ns && o->id < found->id)) found = o;
            }
        }
    }
    return found;
}

static void end_orders(plain *book, const command *c) {
    for (order *o = next_expired(book, c->received_ns); o != NULL; o = next_expired(book, c->received_ns))
        plain_cancel_open(book, c, o, CODE_CANCELLED_EXPIRED, 0);
}

static void open_instruments(plain *book, const command *c) {
    if (book->everything_halted) return;
    for (instrument *in = book->instruments; in != NULL; in = in->next) {
        if (in->state != TRADING_STATE_PRE_OPEN && in->state != TRADING_STATE_AUCTION) continue;
        if (in->auction_ends_ns > 0 && in->auction_ends_ns <= c->received_ns)
            plain_move(book, c, in, TRADING_STATE_OPEN, 0, 0, NULL);
    }
}

/* ---- Book events ------------------------------------------------------------------------------------------------- */

static void indicative(plain *book, const command *c, const instrument *in) {
    const auction a = plain_auction(in);
    wire_report *e = plain_event(book, c, EVENT_INDICATIVE);
    e->instrument = in->number;
    e->reference = in->book_update_id;
    if (a.price == 0) return;
    e->flags = a.sells > a.buys ? REPORT_FLAG_SELL : 0;
    e->price_ticks = a.price;
    e->quantity_lots = (int64_t)plain_least(a.buys, a.sells);
    e->remaining_lots = (int64_t)(a.sells > a.buys ? a.sells - a.buys : a.buys - a.sells);
}

/* CRC-32 as in zlib, a bit at a time. */
static uint32_t crc32_of(uint32_t crc, const void *data, size_t bytes) {
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= ((const uint8_t *)data)[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* The best levels of one side go into the sum; answers how many. */
static int64_t sum_levels(const order *o, uint32_t *crc) {
    int64_t count = 0;
    while (o != NULL && count < CHECKSUM_LEVEL_COUNT) {
        int64_t level[2] = {o->price, 0};
        for (; o != NULL && o->price == level[0]; o = o->next) level[1] += shown(o);
        *crc = crc32_of(*crc, level, sizeof level);
        count++;
    }
    return count;
}

static void book_checksum(plain *book, const command *c, instrument *in) {
    uint32_t crc = 0;
    wire_report *e = plain_event(book, c, EVENT_BOOK_CHECKSUM);
    e->instrument = in->number;
    e->quantity_lots = sum_levels(in->lists[LIST_BIDS], &crc);
    e->remaining_lots = sum_levels(in->lists[LIST_ASKS], &crc);
    e->amount_units = crc;
    e->reference = in->checksum_update_id = in->book_update_id;
}

static void book_events(plain *book, const command *c) {
    for (instrument *in = book->instruments; in != NULL; in = in->next) {
        if (in->checksum_update_id == in->book_update_id) continue;
        if (in->state == TRADING_STATE_PRE_OPEN || in->state == TRADING_STATE_AUCTION) indicative(book, c, in);
        book_checksum(book, c, in);
    }
}

void plain_clock_tick(plain *book, const command *c) {
    end_orders(book, c);
    end_countdowns(book, c);
    open_instruments(book, c);
    book_events(book, c);
}
