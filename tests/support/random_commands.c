/* Random commands: see the header. The first commands define a market; then kinds are drawn by the profile's shares. */
#include "support/random_parts.h"

#include <stdlib.h>

const random_profile random_profiles[] = {
    /* accounts, instruments, keys; open orders, price span, quantity span; permille of nonsense, admin, system,
     * prefixes, terms, links; commands of a round, commands until an auction is ended */
    {"calm", 6, 2, 4, 300, 25, 20, 10, 3, 3, 20, 20, 5, 20000, 100, .limits = false},
    {"limits", 8, 3, 5, 150, 15, 30, 20, 40, 5, 40, 50, 20, 20000, 30, .limits = true},
    {"wild", 5, 2, 4, 60, 10, 10, 250, 60, 40, 150, 150, 60, 20000, 30, .limits = true},
    {"selftrade", 2, 1, 3, 120, 6, 12, 5, 5, 5, 10, 200, 50, 20000, 30, .limits = false},
    {"huge", 5, 3, 4, 100, 12, 25, 60, 30, 5, 20, 100, 30, 20000, 30, .limits = true, .huge = true},
    {"poor", 6, 2, 4, 150, 20, 20, 10, 60, 5, 10, 150, 50, 20000, 50, .poor = true},
    {"tight", 6, 3, 5, 28, 40, 10, 30, 30, 20, 100, 100, 30, 20000, 20, .limits = true, .tight = true},
    {"terms", 6, 2, 4, 120, 8, 15, 15, 10, 10, 20, 600, 100, 20000, 30, .limits = false},
    {"money", 5, 3, 4, 80, 10, 15, 20, 250, 10, 20, 100, 30, 20000, 20, .poor = true},
    {"auctions", 6, 2, 4, 100, 8, 12, 10, 80, 60, 10, 300, 50, 20000, 60, .limits = false},
    {"long", 5, 1, 3, 30, 3, 6, 5, 6, 4, 5, 100, 20, 600000, 60, .limits = false},
};
const uint32_t random_profile_count = sizeof random_profiles / sizeof random_profiles[0];

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static uint64_t next_u64(random_commands *r) {
    uint64_t x = r->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t from_bytes(random_commands *r, uint64_t bound) {
    uint64_t value = 0;
    for (uint64_t reach = 1; reach < bound && r->bytes_left > 0; r->bytes++, r->bytes_left--) {
        value = value << 8 | *r->bytes;
        if (reach > UINT64_MAX / 256) {
            r->bytes++, r->bytes_left--;
            break;
        }
        reach *= 256;
    }
    return value;
}

uint64_t random_below(random_commands *r, uint64_t bound) {
    if (bound <= 1) return 0;
    return (r->bytes != NULL ? from_bytes(r, bound) : next_u64(r)) % bound;
}

bool random_chance(random_commands *r, uint32_t permille) { return random_below(r, 1000) < permille; }
bool random_one_in(random_commands *r, uint64_t n) { return random_below(r, n) == 0; }

uint64_t random_extreme(random_commands *r) {
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       255,
                                       65535,
                                       UINT32_MAX,
                                       (uint64_t)PRICE_TICKS_MAX,
                                       (uint64_t)PRICE_TICKS_MAX + 1,
                                       UNITS_PER_LOT_MAX,
                                       (uint64_t)UNITS_MAX,
                                       (uint64_t)UNITS_MAX + 1,
                                       INT64_MAX,
                                       (uint64_t)INT64_MIN,
                                       (uint64_t)-1,
                                       (uint64_t)-2,
                                       1000000};
    const uint64_t number = numbers[random_below(r, sizeof numbers / sizeof numbers[0])];
    return random_one_in(r, 4) ? (r->bytes != NULL ? random_below(r, UINT64_MAX) : next_u64(r)) : number;
}

void random_draw(random_commands *r, const share *shares, uint32_t count, void *to) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += shares[i].weight;
    uint64_t at = random_below(r, sum);
    for (uint32_t i = 0; i < count; i++) {
        if (at < shares[i].weight) {
            shares[i].make(r, to);
            return;
        }
        at -= shares[i].weight;
    }
}

/* ---- Nonsense ---------------------------------------------------------------------------------------------------- */

/* Spoil one thing about a record. */
static void spoil(random_commands *r, wire_record *record) {
    const uint64_t number = random_extreme(r);
    switch (random_below(r, 12)) {
    case 0: record->command[1] = (uint8_t)(1 + random_below(r, 255)); break;
    case 1: record->key = (uint32_t)(random_one_in(r, 2) ? number : random_below(r, r->profile.key_count + 2)); break;
    case 2: record->received_ns -= random_one_in(r, 2) ? 1 : random_below(r, 1ull << 40); break;
    case 3: record->command[0] = (uint8_t)random_below(r, 256); break;
    case 4: record->command[2 + random_below(r, 6)] ^= (uint8_t)(1 << random_below(r, 8)); break;
    case 5:
    case 6: memcpy(record->command + 8 + 4 * random_below(r, 10), &number, 4); break;
    case 7:
    case 8: memcpy(record->command + 8 + 8 * random_below(r, 5), &number, 8); break;
    case 9: record->command[8 + random_below(r, 40)] ^= (uint8_t)(1 << random_below(r, 8)); break;
    default: record->command[8 + random_below(r, 40)] = (uint8_t)random_below(r, 12); break;
    }
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static void make_command(random_commands *r, void *to) {
    if (random_chance(r, r->profile.admin_permille)) random_admin_command(r, to);
    else if (random_one_in(r, 10) && random_resume(r, to)) return;
    else if (random_one_in(r, r->profile.auction_length) && random_opening(r, to)) return;
    else if (random_one_in(r, 3) || random_crowded(r)) random_order_command(r, to);
    else random_new_order(r, to);
}

static void pass_time(random_commands *r) {
    r->received_ns += random_below(r, 1000) * 1000;
    if (random_one_in(r, 300)) r->received_ns += random_below(r, 3000) * 1000000;
}

/* A command of a client with its prefixes, or a system record. */
static uint32_t put_group(random_commands *r, wire_record *records) {
    _Alignas(8) uint8_t command[COMMAND_BYTES] = {0};
    bool named = false;
    const bool setup = !r->defined && random_setup(r, command, &named);
    r->defined = !setup;
    if (!setup) {
        if (random_chance(r, r->profile.system_permille)) {
            records[0] = random_system(r);
            return 1;
        }
        make_command(r, command);
        named = command[0] == KIND_ASSET || command[0] == KIND_INSTRUMENT;
    }
    const uint32_t key = random_key(r);
    const uint64_t first = r->sequences[key] + 1;
    uint32_t count = setup && named ? 1 : 0;
    if (count == 1) {
        wire_text text = {.kind = KIND_TEXT, .text = "NAME"};
        records[0] = random_record(r, key, first, &text);
    } else if (!setup) {
        count = random_prefixes(r, records, key, first, command, named);
    }
    records[count] = random_record(r, key, first + count, command);
    return count + 1;
}

uint32_t random_commands_next(random_commands *r, wire_record records[RANDOM_RECORDS_MAX]) {
    pass_time(r);
    uint32_t count = 0;
    const uint32_t key = random_key(r);
    _Alignas(8) uint8_t nothing[COMMAND_BYTES] = {0};
    if (r->profile.prefix_permille > 0 && random_chance(r, r->profile.prefix_permille / 10 + 1)) /* void, most often */
        count = random_prefixes(r, records, key, r->sequences[key] + 1, nothing, true);
    const uint32_t void_count = count;
    count += put_group(r, records + count);
    if (void_count > 0 && r->setup > 0 && random_one_in(r, 4)) records[count - 1].key = key;
    if (r->defined && random_chance(r, r->profile.nonsense_permille)) spoil(r, &records[random_below(r, count)]);
    return count;
}

/* ---- What came of it --------------------------------------------------------------------------------------------- */

static void forget(random_commands *r, uint64_t id) {
    for (uint32_t i = 0; i < r->open_count; i++) {
        if (r->open[i].id != id) continue;
        r->open[i] = r->open[--r->open_count];
        return;
    }
}

static void remember(random_commands *r, const wire_report *e) {
    if (r->open_count == OPEN_MAX) r->open[random_below(r, OPEN_MAX)] = r->open[--r->open_count];
    r->open[r->open_count++] = (open_order){.id = e->order_id,
                                            .client_order_id = e->client_order_id,
                                            .account = e->account,
                                            .instrument = e->instrument,
                                            .price = e->price_ticks,
                                            .quantity = e->quantity_lots,
                                            .side = e->flags & REPORT_FLAG_SELL ? SIDE_SELL : SIDE_BUY};
}

static void see_state(random_commands *r, const wire_report *e) {
    const bool halted = e->code == TRADING_STATE_HALTED;
    if (e->instrument > 0) {
        r->instrument_halted[e->instrument % PLACES_MAX] = halted && e->instrument < PLACES_MAX;
        r->instrument_state[e->instrument % PLACES_MAX] = (uint8_t)e->code;
    }
    if (e->instrument == 0 && e->account > 0)
        r->account_halted[e->account % PLACES_MAX] = halted && e->account < PLACES_MAX;
    if (e->instrument == 0 && e->account == 0) r->everything_halted = halted;
}

void random_commands_taken(random_commands *r, const wire_record *records, uint32_t count, const wire_report *events,
                           uint32_t event_count) {
    const wire_record *last = &records[count - 1];
    wire_header header;
    memcpy(&header, last->command, sizeof header);
    r->received_ns = last->received_ns;
    if (header.client_sequence > 0 && header.kind < KIND_TEXT && last->key < KEYS_MAX)
        r->sequences[last->key] = header.client_sequence;
    if (header.kind == KIND_TERM) memcpy(&r->term, last->command + 8, sizeof r->term);
    for (const wire_report *e = events; e < events + event_count; e++) {
        if (e->kind == EVENT_ACCEPTED) remember(r, e);
        if (e->kind == EVENT_STATE) see_state(r, e);
        if (e->kind == EVENT_TRADE)
            r->trades[e->reference % TRADES_SEEN] =
                (seen_trade){e->reference, e->instrument, e->price_ticks, e->quantity_lots};
        if ((e->kind == EVENT_FILLED || e->kind == EVENT_CANCELLED) && (e->flags & REPORT_FLAG_DONE))
            forget(r, e->order_id);
    }
}

const random_profile *random_profile_find(const char *name) {
    for (uint32_t i = 0; i < random_profile_count; i++)
        if (strcmp(random_profiles[i].name, name) == 0) return &random_profiles[i];
    return NULL;
}

random_commands *random_commands_open(uint64_t seed, const random_profile *profile, random_digest digest, void *self) {
    random_commands *r = calloc(1, sizeof *r);
    if (r == NULL) abort();
    r->state = seed * 0x9e3779b97f4a7c15u + 1;
    r->profile = *profile;
    r->digest = digest;
    r->self = self;
    r->received_ns = START_NS;
    random_markets(r);
    return r;
}

void random_commands_decide_by(random_commands *r, const uint8_t *bytes, size_t count) {
    r->bytes = bytes;
    r->bytes_left = count;
}

bool random_commands_decided(const random_commands *r) { return r->bytes != NULL && r->bytes_left == 0; }

void random_commands_close(random_commands *r) { free(r); }
