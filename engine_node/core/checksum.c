/* What a clock tick tells of each book that has changed: its checksum, and in an auction what it would give
 * (rules.md 16.4 and 21).
 *
 *   book_update ──▶ core.dirty (a bit an instrument) ──▶ tick: indicative, book_checksum ──▶ bit taken out
 *
 * A reader that keeps a book of its own from book_updates compares the checksum and knows whether it has missed one.
 * The CRC-32 is the common one (polynomial 0x04c11db7, bits reversed), so that any language has it; eight tables take
 * eight bytes a step, so a full book of 320 bytes costs 40 steps.
 */
#include "internal.h"

enum { CRC_POLYNOMIAL_REVERSED = (int)0xedb88320 };

void crc_tables_make(uint32_t tables[8][256]) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (uint32_t bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ (uint32_t)CRC_POLYNOMIAL_REVERSED : crc >> 1;
        tables[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (uint32_t behind = 1; behind < 8; behind++) {
            const uint32_t crc = tables[behind - 1][byte];
            tables[behind][byte] = crc >> 8 ^ tables[0][crc & 0xff];
        }
}

/* Eight bytes, lowest first. */
static inline uint32_t crc_word(const uint32_t tables[8][256], uint32_t crc, uint64_t word) {
    word ^= crc;
    crc = 0;
    for (uint32_t byte = 0; byte < 8; byte++) crc ^= tables[7 - byte][word >> (8 * byte) & 0xff];
    return crc;
}

/* The CRC of the best displayed levels of both sides; counts: how many bids and asks went into it. */
static uint32_t book_crc(const core *c, const instrument *i, uint32_t counts[2]) {
    uint32_t crc = 0xffffffff;
    for (uint32_t side = 0; side < 2; side++) {
        counts[side] = 0;
        for (uint32_t l = i->sides[side].best; l != 0 && counts[side] < CHECKSUM_LEVEL_COUNT; l = c->levels[l].worse) {
            crc = crc_word(c->crc_tables, crc, (uint64_t)c->levels[l].price_ticks);
            crc = crc_word(c->crc_tables, crc, (uint64_t)c->levels[l].quantity_lots);
            counts[side]++;
        }
    }
    return ~crc;
}

static void put_checksum(core *c, uint32_t number) {
    const instrument *i = &c->instruments[number];
    uint32_t counts[2];
    const uint32_t crc = book_crc(c, i, counts);
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_BOOK_CHECKSUM,
                             .instrument = number,
                             .quantity_lots = counts[0],
                             .remaining_lots = counts[1],
                             .reference = i->book_update_id,
                             .amount_units = crc});
}

bool books_step(core *c) {
    const uint32_t number = set_next(&c->dirty, c->run.tick_at + 1);
    if (number == 0) return false;
    c->run.tick_at = number;
    instrument *i = &c->instruments[number];
    if (state_gathers(i->trading_state)) put_indicative(c, number);
    put_checksum(c, number);
    set_remove(&c->dirty, number);
    DIGEST_ADD(c, i, 20, i->book_update_id - i->checksum_update_id);
    i->checksum_update_id = i->book_update_id;
    return true;
}
