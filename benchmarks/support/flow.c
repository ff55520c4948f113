/* The flow's own book: a slot an order, a FIFO a level, and a dense list of open slots to pick cancels from.
 *
 *   level 10,001 asks: first -> [slot 7, rest 5] <-> [slot 9, rest 2] <- last        open: 7 9 3 ...
 */
#include "flow.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BASE_ASSET = 1, QUOTE_ASSET = 2, LOTS_MAX = 100 };

typedef struct slot {
    uint32_t previous, next; /* at its level; 0: none */
    uint32_t open_index;
    uint32_t level;
    uint32_t account;
    uint8_t side;
    int64_t rest_lots;
    uint64_t client_order_id;
} slot;

typedef struct level {
    uint32_t first, last;
} level;

struct flow {
    flow_options options;
    uint64_t random;
    uint64_t client_order_id; /* the last one used */
    uint64_t order_count;
    uint32_t slot_count, free_slot;
    uint32_t open_count;
    uint32_t best[2]; /* lowest level that may hold an order, by side */
    slot *slots;
    uint32_t *open;
    level *levels[2];
};

static uint32_t draw(flow *f, uint32_t below);
static uint32_t draw_level(flow *f);
static void enter(flow *f, uint8_t side, uint32_t level_index, uint32_t account, int64_t lots);
static void leave(flow *f, uint32_t index);
static uint32_t make_resting(flow *f, uint8_t *command);
static uint32_t make_cancel(flow *f, uint8_t *command);
static uint32_t make_taker(flow *f, uint8_t *command);
static int64_t price_of(const flow *f, uint8_t side, uint32_t level_index);

flow *flow_open(const flow_options *options) {
    flow *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    f->options = *options;
    f->random = options->seed * 0x9e3779b97f4a7c15ull + 1;
    f->slot_count = options->open_target + options->open_target / 4 + 64;
    f->slots = calloc(f->slot_count + 1, sizeof *f->slots);
    f->open = calloc(f->slot_count + 1, sizeof *f->open);
    f->levels[0] = calloc(options->level_count, sizeof(level));
    f->levels[1] = calloc(options->level_count, sizeof(level));
    if (f->slots == NULL || f->open == NULL || f->levels[0] == NULL || f->levels[1] == NULL) {
        flow_close(f);
        return NULL;
    }
    for (uint32_t i = 1; i < f->slot_count; i++) f->slots[i].next = i + 1 < f->slot_count ? i + 1 : 0;
    f->free_slot = 1;
    f->best[0] = f->best[1] = options->level_count;
    return f;
}

void flow_close(flow *f) {
    free(f->slots);
    free(f->open);
    free(f->levels[0]);
    free(f->levels[1]);
    free(f);
}

uint32_t flow_open_count(const flow *f) { return f->open_count; }

uint64_t flow_order_count(const flow *f) { return f->order_count; }

uint32_t flow_next_resting(flow *f, uint8_t command[COMMAND_BYTES]) { return make_resting(f, command); }

uint32_t flow_next(flow *f, uint8_t command[COMMAND_BYTES]) {
    uint32_t kind = draw(f, 100);
    if (f->open_count < f->options.open_target - f->options.open_target / 16 || f->open_count < 16)
        return make_resting(f, command);
    if (f->open_count >= f->options.open_target) kind = kind % 51;
    if (kind < 46) return make_cancel(f, command);
    if (kind < 51) return make_taker(f, command);
    return make_resting(f, command);
}

static uint32_t make_resting(flow *f, uint8_t *command) {
    uint8_t side = (uint8_t)draw(f, 2);
    uint32_t level_index = draw_level(f);
    wire_new_order order = {.kind = KIND_NEW_ORDER,
                            .account = f->options.account_first + draw(f, f->options.account_count),
                            .instrument = f->options.instrument,
                            .price_ticks = price_of(f, side, level_index),
                            .quantity_lots = 1 + draw(f, LOTS_MAX),
                            .client_order_id = f->client_order_id + 1,
                            .side = side == 0 ? SIDE_BUY : SIDE_SELL,
                            .order_type = ORDER_TYPE_LIMIT,
                            .time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED,
                            .self_trade_prevention = SELF_TRADE_PREVENTION_NONE};
    enter(f, side, level_index, order.account, order.quantity_lots);
    memcpy(command, &order, COMMAND_BYTES);
    f->order_count++;
    return 1; /* accepted */
}

static uint32_t make_cancel(flow *f, uint8_t *command) {
    uint32_t index = f->open[draw(f, f->open_count)];
    wire_cancel cancel = {.kind = KIND_CANCEL,
                          .account = f->slots[index].account,
                          .instrument = f->options.instrument,
                          .target_client_order_id = f->slots[index].client_order_id};
    leave(f, index);
    memcpy(command, &cancel, COMMAND_BYTES);
    return 1; /* cancelled */
}

/* Take the first order of the best level: all of it three times in four, as recorded executions mostly do. */
static uint32_t make_taker(flow *f, uint8_t *command) {
    uint8_t side = (uint8_t)draw(f, 2);
    uint8_t other = side ^ 1;
    while (f->best[other] < f->options.level_count && f->levels[other][f->best[other]].first == 0) f->best[other]++;
    if (f->best[other] >= f->options.level_count) return make_resting(f, command);
    uint32_t index = f->levels[other][f->best[other]].first;
    slot *maker = &f->slots[index];
    int64_t lots = draw(f, 4) != 0 ? maker->rest_lots : 1 + (int64_t)draw(f, (uint32_t)maker->rest_lots);
    wire_new_order order = {.kind = KIND_NEW_ORDER,
                            .account = f->options.account_first + draw(f, f->options.account_count),
                            .instrument = f->options.instrument,
                            .price_ticks = price_of(f, other, f->best[other]),
                            .quantity_lots = lots,
                            .client_order_id = ++f->client_order_id,
                            .side = side == 0 ? SIDE_BUY : SIDE_SELL,
                            .order_type = ORDER_TYPE_LIMIT,
                            .time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL,
                            .self_trade_prevention = SELF_TRADE_PREVENTION_NONE};
    maker->rest_lots -= lots;
    if (maker->rest_lots == 0) leave(f, index);
    memcpy(command, &order, COMMAND_BYTES);
    f->order_count++;
    return 3; /* accepted, filled for the maker, filled for the taker */
}

static int64_t price_of(const flow *f, uint8_t side, uint32_t level_index) {
    int64_t away = 1 + (int64_t)level_index;
    return side == 0 ? f->options.mid_price_ticks - away : f->options.mid_price_ticks + away;
}

/* Near the touch mostly: the product of two even draws. */
static uint32_t draw_level(flow *f) {
    uint64_t first = draw(f, f->options.level_count);
    return (uint32_t)(first * draw(f, f->options.level_count) / f->options.level_count);
}

static void enter(flow *f, uint8_t side, uint32_t level_index, uint32_t account, int64_t lots) {
    uint32_t index = f->free_slot;
    slot *s = &f->slots[index];
    if (index == 0) abort(); /* open_target bounds it: see flow_next */
    f->free_slot = s->next;
    level *l = &f->levels[side][level_index];
    *s = (slot){.previous = l->last,
                .open_index = f->open_count,
                .level = level_index,
                .account = account,
                .side = side,
                .rest_lots = lots,
                .client_order_id = ++f->client_order_id};
    if (l->last != 0) f->slots[l->last].next = index;
    else l->first = index;
    l->last = index;
    f->open[f->open_count++] = index;
    if (level_index < f->best[side]) f->best[side] = level_index;
}

static void leave(flow *f, uint32_t index) {
    slot *s = &f->slots[index];
    level *l = &f->levels[s->side][s->level];
    if (s->previous != 0) f->slots[s->previous].next = s->next;
    else l->first = s->next;
    if (s->next != 0) f->slots[s->next].previous = s->previous;
    else l->last = s->previous;
    uint32_t moved = f->open[--f->open_count];
    f->open[s->open_index] = moved;
    f->slots[moved].open_index = s->open_index;
    s->next = f->free_slot;
    f->free_slot = index;
}

/* xorshift64*, and a multiplication instead of a remainder. */
static uint32_t draw(flow *f, uint32_t below) {
    f->random ^= f->random >> 12;
    f->random ^= f->random << 25;
    f->random ^= f->random >> 27;
    uint64_t value = (f->random * 0x2545f4914f6cdd1dull) >> 32;
    return (uint32_t)((value * below) >> 32);
}

/* ---- Setup ------------------------------------------------------------------------------------------------------- */

static uint32_t emit_named(flow_emit emit, void *self, const char *name, const void *definition) {
    wire_text text = {.kind = KIND_TEXT};
    uint8_t command[COMMAND_BYTES];
    memcpy(text.text, name, strlen(name));
    memcpy(command, &text, COMMAND_BYTES);
    emit(self, command, false);
    memcpy(command, definition, COMMAND_BYTES);
    emit(self, command, true);
    return 2;
}

uint32_t flow_setup(const flow_options *options, flow_emit emit, void *self) {
    uint32_t count = 0;
    wire_asset base = {.kind = KIND_ASSET, .asset = BASE_ASSET, .decimals = 2};
    wire_asset quote = {.kind = KIND_ASSET, .asset = QUOTE_ASSET, .decimals = 4};
    wire_instrument instrument = {.kind = KIND_INSTRUMENT,
                                  .instrument = options->instrument,
                                  .base_asset = BASE_ASSET,
                                  .quote_asset = QUOTE_ASSET,
                                  .maker_fee_ppm = 100,
                                  .taker_fee_ppm = 250,
                                  .trading_state = TRADING_STATE_OPEN,
                                  .base_units_per_lot = 1,
                                  .quote_units_per_tick_lot = 1};
    count += emit_named(emit, self, "BENCH", &base);
    count += emit_named(emit, self, "CASH", &quote);
    count += emit_named(emit, self, "BENCH-CASH", &instrument);
    for (uint32_t i = 0; i < options->account_count; i++) {
        uint8_t command[COMMAND_BYTES];
        wire_account account = {.kind = KIND_ACCOUNT, .account = options->account_first + i};
        memcpy(command, &account, COMMAND_BYTES);
        emit(self, command, true);
        for (uint32_t asset = BASE_ASSET; asset <= QUOTE_ASSET; asset++) {
            wire_deposit deposit = {
                .kind = KIND_DEPOSIT, .account = account.account, .asset = asset, .amount_units = 1ll << 48};
            memcpy(command, &deposit, COMMAND_BYTES);
            emit(self, command, true);
        }
        count += 3;
    }
    return count;
}

void flow_number(uint8_t command[COMMAND_BYTES], uint64_t client_sequence) {
    wire_header header;
    memcpy(&header, command, sizeof header);
    header.client_sequence = client_sequence & 0xffffffffffffull;
    memcpy(command, &header, sizeof header);
}

uint64_t flow_digest(uint64_t digest, const wire_report *report) {
    const uint64_t parts[] = {report->kind,
                              report->flags,
                              report->code,
                              report->account,
                              report->client_order_id,
                              (uint64_t)report->price_ticks,
                              (uint64_t)report->quantity_lots,
                              (uint64_t)report->remaining_lots,
                              (uint64_t)report->amount_units};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) digest = (digest ^ parts[i]) * 0x100000001b3ull;
    return digest;
}
