/* The core itself: memory laid out once, groups of records taken in, commands run in steps.
 *
 *   core_apply: group valid? ── room in the pools? ── header (sequence, time, client sequence) ── nonce ── the command
 *   core_next:  the next steps of the same command, until its stage is RUN_DONE
 *
 * Everything up to "header" can say no and has changed nothing; everything behind it can't fail.
 */
#include "internal.h"

#include <stdio.h>

_Noreturn void core_broken(const char *what, const char *file, int line) {
    fprintf(stderr, "ironbook: %s:%d: must hold, does not: %s\n", file, line, what);
    abort();
}

const char *core_status_name(core_status status) {
    static const char *const names[CORE_STATUS_COUNT] = {
        "CORE_OK", "CORE_MORE", "CORE_E_FULL", "CORE_E_RECORD", "CORE_E_DIVERGED", "CORE_E_OPTIONS", "CORE_E_SNAPSHOT"};
    return (uint32_t)status < CORE_STATUS_COUNT ? names[status] : "unknown";
}

/* ---- Pools and indexes ------------------------------------------------------------------------------------------- */

uint32_t pool_take(pool *p, void *slots, size_t slot_bytes) {
    INVARIANT(p->used < p->capacity);
    p->used++;
    const uint32_t slot = p->free_head;
    if (slot == 0) return p->fresh++;
    memcpy(&p->free_head, (char *)slots + slot * slot_bytes, sizeof p->free_head);
    return slot;
}

void pool_give(pool *p, void *slots, size_t slot_bytes, uint32_t slot) {
    INVARIANT(slot != 0 && slot < p->fresh && p->used > 0);
    p->used--;
    memcpy((char *)slots + slot * slot_bytes, &p->free_head, sizeof p->free_head);
    p->free_head = slot;
}

uint32_t set_next(const number_set *s, uint32_t from) {
    uint32_t word = from >> 6;
    if (word >= s->word_count) return 0;
    const uint64_t here = s->bits[word] >> (from & 63) << (from & 63);
    if (here != 0) return word << 6 | (uint32_t)__builtin_ctzll(here);
    for (word++; word < s->word_count; word = ((word >> 6) + 1) << 6) {
        const uint64_t words = s->words[word >> 6] >> (word & 63) << (word & 63);
        if (words == 0) continue;
        word = (word & ~63u) | (uint32_t)__builtin_ctzll(words);
        return word << 6 | (uint32_t)__builtin_ctzll(s->bits[word]);
    }
    return 0;
}

/* ---- Open -------------------------------------------------------------------------------------------------------- */

core_options core_options_default(void) {
    return (core_options){.asset_count_max = 65,
                          .instrument_count_max = 257,
                          .account_count_max = 4097,
                          .key_count_max = 257,
                          .order_count_max = 1 << 20,
                          .extra_count_max = 1 << 16,
                          .level_count_max = 1 << 17,
                          .ladder_count_max = 1 << 18,
                          .balance_count_max = 1 << 16,
                          .position_count_max = 1 << 16,
                          .nonce_count_max = 1 << 20,
                          .reports_kept = 4096,
                          .event_mask = CORE_EVENTS_ALL,
                          .nonce_window_ns = 300ull * 1000000000};
}

static bool options_valid(const core_options *o) {
    const uint32_t pools[] = {o->order_count_max,   o->level_count_max,    o->ladder_count_max,
                              o->balance_count_max, o->position_count_max, o->nonce_count_max};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++)
        if (pools[i] < 1 || pools[i] > CORE_POOL_MAX) return false;
    if (o->extra_count_max > CORE_POOL_MAX) return false;
    if (o->asset_count_max < 2 || o->asset_count_max > CORE_ASSETS_MAX) return false;
    if (o->instrument_count_max < 2 || o->instrument_count_max > CORE_INSTRUMENTS_MAX) return false;
    if (o->account_count_max < 2 || o->account_count_max > CORE_ACCOUNTS_MAX) return false;
    if (o->key_count_max < 2 || o->key_count_max > CORE_KEYS_MAX) return false;
    if (o->reports_kept > CORE_REPORTS_KEPT_MAX || (o->reports_kept & (o->reports_kept - 1)) != 0) return false;
    if (o->nonce_window_ns == 0 || o->nonce_window_ns > NONCE_WINDOW_NS_MAX) return false;
    return (o->event_mask & ~(uint32_t)CORE_EVENTS_ALL) == 0;
}

/* Lines for an index of that many slots: a power of two that they fill to three quarters at most. */
static uint32_t index_lines(uint32_t slots) {
    uint32_t lines = 2;
    while ((uint64_t)lines * INDEX_LINE_ENTRIES < slots + slots / 3 + 1) lines *= 2;
    return lines;
}

/* Hand out pieces of memory one behind the other, each on a cache line of its own. With base NULL it only measures. */
typedef struct layout {
    char *base;
    size_t at;
} layout;

static void *piece(layout *l, size_t count, size_t each_bytes) {
    void *at = l->base == NULL ? NULL : l->base + l->at;
    l->at += (count * each_bytes + 63) / 64 * 64;
    return at;
}

static hash_index piece_index(layout *l, uint32_t slots) {
    const uint32_t lines = index_lines(slots);
    return (hash_index){.lines = piece(l, lines, sizeof(index_line)), .mask = lines - 1};
}

static number_set piece_set(layout *l, uint32_t count) {
    const uint32_t words = count / 64 + 1;
    return (number_set){.bits = piece(l, words, 8), .words = piece(l, words / 64 + 1, 8), .word_count = words};
}

static void lay_out(layout *l, const core_options *o, core *c) {
    c->orders = piece(l, o->order_count_max + 1u, sizeof(book_order));
    c->rests = piece(l, o->order_count_max + 1u, sizeof(order_rest));
    c->extras = piece(l, o->extra_count_max + 1u, sizeof(order_extra));
    c->expiries = piece(l, o->extra_count_max + 1u, sizeof(expiry));
    c->levels = piece(l, o->level_count_max + 1u, sizeof(book_level));
    c->ladder = piece(l, o->ladder_count_max + 1u, sizeof(ladder_node));
    c->balances = piece(l, o->balance_count_max + 1u, sizeof(balance));
    c->floors = piece(l, o->balance_count_max + 1u, sizeof(int64_t));
    c->positions = piece(l, o->position_count_max + 1u, sizeof(position));
    c->instruments = piece(l, o->instrument_count_max, sizeof(instrument));
    c->rate_tables = piece(l, o->instrument_count_max, sizeof(rate_table));
    c->timed = piece_set(l, o->instrument_count_max);
    c->dirty = piece_set(l, o->instrument_count_max);
    c->crc_tables = piece(l, 8, sizeof *c->crc_tables);
    c->accounts = piece(l, o->account_count_max, sizeof(account));
    c->assets = piece(l, o->asset_count_max, sizeof(asset));
    c->keys = piece(l, o->key_count_max, sizeof(key_state));
    c->rings = piece(l, (size_t)o->key_count_max * o->reports_kept, sizeof(wire_report));
    c->touched = piece(l, o->key_count_max, sizeof(uint16_t));
    c->nonces = piece(l, o->nonce_count_max, sizeof(nonce_entry));
    c->trades = piece(l, TRADES_KEPT, sizeof(kept_trade));
    c->order_index = piece_index(l, o->order_count_max);
    c->client_index = piece_index(l, o->order_count_max);
    c->balance_index = piece_index(l, o->balance_count_max);
    c->position_index = piece_index(l, o->position_count_max);
    c->nonce_index = piece_index(l, o->nonce_count_max);
}

size_t core_bytes(const core_options *options) {
    if (!options_valid(options)) return 0;
    layout l = {0};
    core sketch;
    (void)piece(&l, 1, sizeof(core));
    lay_out(&l, options, &sketch);
    return l.at;
}

static pool pool_of(uint32_t capacity) { return (pool){.fresh = 1, .capacity = capacity}; }

core_status core_open(void *memory, size_t bytes, const core_options *options, core **out) {
    const size_t needed = core_bytes(options);
    if (needed == 0 || bytes < needed || memory == NULL || (uintptr_t)memory % 64 != 0) return CORE_E_OPTIONS;
    layout l = {.base = memory};
    core *c = piece(&l, 1, sizeof(core));
    lay_out(&l, options, c);
    c->options = *options;
    c->options.hash_seed =
        options->hash_seed == 0 ? SPREAD_MULTIPLIER : options->hash_seed | 1; /* odd: it multiplies */
    c->order_pool = pool_of(options->order_count_max);
    c->extra_pool = pool_of(options->extra_count_max);
    c->level_pool = pool_of(options->level_count_max);
    c->ladder_pool = pool_of(options->ladder_count_max);
    c->balance_pool = pool_of(options->balance_count_max);
    c->position_pool = pool_of(options->position_count_max);
    c->full_pool = "";
    crc_tables_make(c->crc_tables);
    for (uint32_t i = 0; i < options->asset_count_max; i++) c->assets[i].digest_key = entity_key(TAG_ASSET, i, 0);
    for (uint32_t i = 0; i < options->instrument_count_max; i++)
        c->instruments[i].digest_key = entity_key(TAG_INSTRUMENT, i, 0);
    for (uint32_t i = 0; i < options->account_count_max; i++) c->accounts[i].digest_key = entity_key(TAG_ACCOUNT, i, 0);
    for (uint32_t i = 0; i < options->key_count_max; i++) c->keys[i].digest_key = entity_key(TAG_KEY, i, 0);
    *out = c;
    return CORE_OK;
}

/* ---- Groups ------------------------------------------------------------------------------------------------------ */

static inline const wire_header *command_of(const wire_record *record) { return (const wire_header *)record->command; }
static inline bool is_prefix(uint32_t kind) { return kind >= KIND_TEXT && kind <= KIND_ORDER_LINK; }
static_assert(KIND_ORDER_LINK - KIND_TEXT + 1 == PREFIX_COUNT_MAX, "a group has at most one prefix of each kind");
static inline bool is_client_kind(uint32_t kind) {
    return (kind >= KIND_NEW_ORDER && kind <= KIND_COUNTDOWN_CANCEL && kind != KIND_PING) ||
           (kind >= KIND_ASSET && kind <= KIND_FEE_PAYOUT);
}
static inline bool is_system_kind(uint32_t kind) { return kind >= KIND_TERM && kind <= KIND_REFUSED; }

/* May `next` stand behind the prefix `at` in one group? `seen`: bit 0 a text, bit 1 a nonce, … came already. */
static bool follows(const wire_record *at, const wire_record *next, uint32_t seen) {
    const uint32_t kind = command_of(next)->kind;
    if (at->key != next->key || command_of(next)->client_sequence != command_of(at)->client_sequence + 1u) return false;
    if (is_prefix(kind)) return (seen >> (kind - KIND_TEXT) & 1) == 0;
    return is_client_kind(kind) || kind == KIND_REFUSED;
}

uint32_t core_group(const wire_record *records, uint32_t count) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t kind = command_of(&records[i])->kind;
        if (!is_prefix(kind)) return i + 1;
        seen |= 1u << (kind - KIND_TEXT);
        if (i + 1 == CORE_GROUP_MAX) return i + 1;
        if (i + 1 < count && !follows(&records[i], &records[i + 1], seen)) return i + 1;
    }
    return 0;
}

static const wire_record *prefix_of(const wire_record *records, uint32_t count, uint32_t kind) {
    for (uint32_t i = 0; i + 1 < count; i++)
        if (command_of(&records[i])->kind == kind) return &records[i];
    return NULL;
}

static bool refused_well_formed(const wire_record *record) {
    const wire_refused *o = (const wire_refused *)record->command;
    return o->flags == 0 && all_zero(o->zero, sizeof o->zero) && o->code >= CODE_NONCE_STALE &&
           o->code <= CODE_UNKNOWN_TRADE;
}
static_assert(CODE_NONCE_STALE == 1 && CODE_UNKNOWN_TRADE < CODE_CANCELLED_BY_REQUEST, "rejects are the first codes");

/* Can this group stand here? Whatever a client may have sent can; what can't is damage or our own mistake. */
static core_status check_group(const core *c, const wire_record *records, uint32_t count) {
    uint64_t received_ns = c->received_ns;
    for (uint32_t i = 0; i < count; i++) {
        if (records[i].received_ns < received_ns || records[i].key >= c->options.key_count_max) return CORE_E_RECORD;
        received_ns = records[i].received_ns;
    }
    const wire_record *last = &records[count - 1];
    const uint32_t kind = command_of(last)->kind;
    if (is_system_kind(kind) && kind != KIND_REFUSED) return count == 1 ? check_system(c, last) : CORE_E_RECORD;
    if (!is_client_kind(kind) && !is_prefix(kind) && (kind != KIND_REFUSED || !refused_well_formed(last)))
        return CORE_E_RECORD;
    if (last->key == 0) return CORE_E_RECORD;
    return command_of(last)->client_sequence == c->keys[last->key].last_client_sequence + count ? CORE_OK
                                                                                                : CORE_E_RECORD;
}

/* A number that could be defined, but not with these capacities. It is no room and no reject: what a record means must
 * not depend on the capacities of who reads it. */
static const char *full_numbers(const core *c, const wire_header *command) {
    const void *o = command;
    uint32_t number;
    switch (command->kind) {
    case KIND_ASSET:
        number = ((const wire_asset *)o)->asset;
        return number <= ASSET_NUMBER_MAX && number >= c->options.asset_count_max ? "asset_count_max" : "";
    case KIND_INSTRUMENT:
        number = ((const wire_instrument *)o)->instrument;
        return number <= INSTRUMENT_NUMBER_MAX && number >= c->options.instrument_count_max ? "instrument_count_max"
                                                                                            : "";
    case KIND_ACCOUNT:
        number = ((const wire_account *)o)->account;
        return number <= ACCOUNT_NUMBER_MAX && number >= c->options.account_count_max ? "account_count_max" : "";
    default: return "";
    }
}

/* What a new order with terms or a link may take besides: an extra for itself, one for the order that it is linked
 * with; and if it waits, a level now and room for one later. */
typedef struct special_needs {
    uint32_t extras, waits;
} special_needs;

static special_needs needs_of(const wire_record *records, uint32_t count) {
    const wire_record *terms = prefix_of(records, count, KIND_ORDER_TERMS);
    const bool linked = prefix_of(records, count, KIND_ORDER_LINK) != NULL;
    return (special_needs){.extras = linked ? 2 : terms != NULL,
                           .waits =
                               terms != NULL && ((const wire_order_terms *)terms->command)->trigger != TRIGGER_NONE};
}

/* The pool that has no room for the most that a command of this kind may create; "" if all have. */
static const char *full_pool(const core *c, const wire_header *command, special_needs needs, bool has_nonce,
                             uint64_t now_ns) {
    const uint32_t kind = command->kind;
    if (pool_room(&c->extra_pool) < needs.extras) return "extra_count_max";
    const bool enters = kind == KIND_NEW_ORDER;
    if (enters || kind == KIND_REPLACE) {
        if (pool_room(&c->level_pool) < 1 + needs.waits + waiting_levels(c)) return "level_count_max";
        if (pool_room(&c->ladder_pool) < (2 + (1 + SIDES_COUNT) * needs.waits) * CORE_LADDER_DEPTH + waiting_nodes(c))
            return "ladder_count_max";
    }
    if (enters) {
        if (pool_room(&c->order_pool) < 1) return "order_count_max";
        if (pool_room(&c->position_pool) < 1) return "position_count_max";
        if (pool_room(&c->balance_pool) < 2) return "balance_count_max";
    }
    const char *numbers = kind >= KIND_ASSET && kind <= KIND_ACCOUNT ? full_numbers(c, command) : "";
    if (*numbers != '\0') return numbers;
    const bool moves_money = kind == KIND_DEPOSIT || kind == KIND_BALANCE_FLOOR || kind == KIND_FEE_PAYOUT;
    if (moves_money && pool_room(&c->balance_pool) < 1) return "balance_count_max";
    return has_nonce && !nonce_has_room(c, now_ns) ? "nonce_count_max" : "";
}

const char *core_full_pool(const core *c) { return c->full_pool; }

/* ---- Commands ---------------------------------------------------------------------------------------------------- */

static inline void events_begin(core *c, core_events *out) {
    c->out = out;
    c->event_next = out->events;
    c->event_end = out->events == NULL ? NULL : out->events + out->room;
    c->reports = 0;
}

static inline core_status events_done(core *c, core_status status) {
    c->out->count = c->event_next == NULL ? 0 : (uint32_t)(c->event_next - c->out->events);
    c->out->reports = c->reports;
    return status;
}

/* Room for the most events and reports of one step? */
static inline bool room_for_step(const core *c) {
    return c->out->room - c->reports >= CORE_EVENTS_STEP_MAX &&
           (c->event_next == NULL || c->event_end - c->event_next >= (ptrdiff_t)CORE_EVENTS_STEP_MAX);
}

static void begin(core *c, const wire_record *records, uint32_t count, core_events *out) {
    const wire_record *last = &records[count - 1];
    events_begin(c, out);
    c->digest += entity_key(TAG_WHOLE, 0, 0) * (mix(1) * count + mix(2) * (last->received_ns - c->received_ns));
    c->sequence += count;
    c->received_ns = last->received_ns;
    c->run.n = 0;
    c->run.level = 0;
    c->run.key = last->key;
    c->run.client_sequence = command_of(last)->client_sequence;
    c->run.sweep_answers = false;
    c->run.answers_other = false;
    c->run.stage = RUN_DONE;
}

static void count_client_sequence(core *c, uint32_t key, uint32_t count) {
    key_state *k = &c->keys[key];
    k->last_client_sequence += count;
    DIGEST_ADD(c, k, 1, count);
}

/* rules.md 3, step 1, for every kind of command. */
static uint16_t take_nonce(core *c, const wire_record *prefix) {
    const wire_nonce *n = (const wire_nonce *)prefix->command;
    const uint16_t code = nonce_check(c, n->nonce, n->timestamp_ns);
    if (code == CODE_NONE) nonce_store(c, n->nonce, n->timestamp_ns);
    return code;
}

/* Flags and zero bytes are zero, and what says more of an order stands before one. */
static bool prefixes_well_formed(const wire_record *records, uint32_t count) {
    const bool enters = command_of(&records[count - 1])->kind == KIND_NEW_ORDER;
    for (uint32_t i = 0; i + 1 < count; i++) {
        const void *at = records[i].command;
        bool zero;
        switch (command_of(&records[i])->kind) {
        case KIND_TEXT: zero = all_zero(((const wire_text *)at)->zero, sizeof((const wire_text *)at)->zero); break;
        case KIND_NONCE: zero = all_zero(((const wire_nonce *)at)->zero, sizeof((const wire_nonce *)at)->zero); break;
        case KIND_ORDER_TERMS:
            zero = enters && all_zero(((const wire_order_terms *)at)->zero, sizeof((const wire_order_terms *)at)->zero);
            break;
        default:
            zero = enters && all_zero(((const wire_order_link *)at)->zero, sizeof((const wire_order_link *)at)->zero);
        }
        if (!zero || command_of(&records[i])->flags != 0) return false;
    }
    return true;
}

/* terms, link: the prefixes of those kinds, NULL without any. */
static inline void do_order_command(core *c, const wire_header *command, const wire_record *terms,
                                    const wire_record *link) {
    switch (command->kind) {
    case KIND_NEW_ORDER:
        do_new_order(c, (const wire_new_order *)command,
                     terms == NULL ? NULL : (const wire_order_terms *)terms->command,
                     link == NULL ? NULL : (const wire_order_link *)link->command);
        break;
    case KIND_CANCEL: do_cancel(c, (const wire_cancel *)command); break;
    case KIND_REPLACE: do_replace(c, (const wire_replace *)command); break;
    default: do_mass_cancel(c, (const wire_mass_cancel *)command);
    }
}

static void dispatch(core *c, const wire_record *records, uint32_t count) {
    const wire_header *command = command_of(&records[count - 1]);
    const wire_record *terms = NULL, *link = NULL;
    if (UNLIKELY(count > 1)) {
        const wire_record *nonce = prefix_of(records, count, KIND_NONCE);
        terms = prefix_of(records, count, KIND_ORDER_TERMS);
        link = prefix_of(records, count, KIND_ORDER_LINK);
        uint16_t code = nonce == NULL ? CODE_NONE : take_nonce(c, nonce);
        if (code == CODE_NONE && !prefixes_well_formed(records, count)) code = CODE_MALFORMED;
        if (code != CODE_NONE) {
            put_reject(c, command, code);
            return;
        }
    }
    if (command->kind <= KIND_MASS_CANCEL) {
        do_order_command(c, command, terms, link);
        return;
    }
    if (command->kind == KIND_COUNTDOWN_CANCEL) {
        do_countdown_cancel(c, (const wire_countdown_cancel *)command);
        return;
    }
    const wire_record *text = prefix_of(records, count, KIND_TEXT);
    do_admin(c, command, text == NULL ? NULL : (const wire_text *)text->command);
}

/* Any group. */
static __attribute__((noinline)) core_status apply_group(core *c, const wire_record *records, uint32_t count,
                                                         core_events *out) {
    const core_status status = check_group(c, records, count);
    if (UNLIKELY(status != CORE_OK)) return status;
    const wire_record *last = &records[count - 1];
    const uint32_t kind = command_of(last)->kind;
    const bool has_nonce =
        kind == KIND_LOGON || (count > 1 && is_client_kind(kind) && prefix_of(records, count, KIND_NONCE) != NULL);
    const special_needs needs =
        UNLIKELY(count > 1) && kind == KIND_NEW_ORDER ? needs_of(records, count) : (special_needs){0};
    c->full_pool = full_pool(c, command_of(last), needs, has_nonce, last->received_ns);
    if (UNLIKELY(*c->full_pool != '\0')) return CORE_E_FULL;
    begin(c, records, count, out);
    if (is_prefix(kind)) return events_done(c, CORE_OK);
    if (is_client_kind(kind)) {
        count_client_sequence(c, last->key, count);
        dispatch(c, records, count);
    } else if (kind == KIND_REFUSED) {
        count_client_sequence(c, last->key, count);
        put_reject(c, command_of(last), ((const wire_refused *)last->command)->code);
    } else {
        do_system(c, last);
    }
    return run_go_on(c);
}

/* One order command by itself, of a known key, in its place: nearly all there are. */
static inline bool is_plain(const core *c, const wire_record *record, uint32_t count) {
    const wire_header *command = command_of(record);
    return count == 1 && command->kind >= KIND_NEW_ORDER && command->kind <= KIND_MASS_CANCEL && record->key != 0 &&
           record->key < c->options.key_count_max && record->received_ns >= c->received_ns &&
           command->client_sequence == c->keys[record->key].last_client_sequence + 1;
}

core_status core_apply(core *c, const wire_record *records, uint32_t count, core_events *out) {
    INVARIANT(c->run.stage == RUN_DONE && count >= 1 && count <= CORE_GROUP_MAX && out->room >= CORE_EVENTS_CHUNK_MIN);
    out->count = 0;
    out->reports = 0;
    if (UNLIKELY(!is_plain(c, records, count))) return apply_group(c, records, count, out);
    const wire_header *command = command_of(records);
    c->full_pool =
        command->kind == KIND_CANCEL ? "" : full_pool(c, command, (special_needs){0}, false, records->received_ns);
    if (UNLIKELY(*c->full_pool != '\0')) return CORE_E_FULL;
    begin(c, records, 1, out);
    count_client_sequence(c, records->key, 1);
    do_order_command(c, command, NULL, NULL);
    return run_go_on(c);
}

/* Run steps until the command is done or the chunk may not hold the next step's events. */
core_status run_go_on(core *c) {
    while (c->run.stage != RUN_DONE) {
        if (UNLIKELY(!room_for_step(c))) return events_done(c, CORE_MORE);
        switch (c->run.stage) {
        case RUN_MATCH: match_step(c); break;
        case RUN_REST: rest_step(c); break;
        case RUN_FIRE: fire_step(c); break;
        case RUN_TICK: tick_step(c); break;
        case RUN_CLOSE: closing_step(c); break;
        case RUN_UNCROSS: opening_step(c); break;
        case RUN_HALT: halt_step(c); break;
        default: sweep_step(c); break;
        }
    }
    return events_done(c, CORE_OK);
}

core_status core_next(core *c, core_events *out) {
    INVARIANT(c->run.stage != RUN_DONE && out->room >= CORE_EVENTS_CHUNK_MIN);
    events_begin(c, out);
    return run_go_on(c);
}
