/* Flow files for `match` and the peers: made by seed, drawn against a book of their own, so that nothing in them is
 * refused and nobody trades with himself.
 *
 *   flows make KIND FILE SEED OPEN TIMED      KIND is deep, cancel, sweep or wide; OPEN orders rest before the clock
 *   flows answer FILE                         what any engine must answer to a flow file
 *   flows cut FILE OUT TIMED                  the same file with fewer timed operations, for an engine that is slow
 *
 *            far (even over the band)    near (small offsets far likelier)    near      far
 *      bids  . . . . . . . . . . . . . . ..:.::::|      mid       |::::.:.. . . . . . . . . .  asks
 *                                                  walks slowly
 *
 * deep    65,536 ticks a side, even before the clock starts; then of 100 operations 45 rest (half near, half far), 45
 *         cancel (half an order that came lately, half any), 10 take one to three orders (two of these ask in vain)
 * cancel  90 of 100 rest or cancel within 4,096 ticks a side; four of five cancels name one of the last 64 near orders
 * sweep   whenever enough orders rest, one order takes the best 2 to 24 levels of a side; the rest refills them
 * wide    48 rest, 46 cancel, 6 take, in an instrument drawn with a chance of 1 to its rank
 *
 * Last line of every form: one JSON object. The same arguments give the same bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/client.h"
#include "support/dense_book.h"

enum { ACCOUNTS = 64, MAKERS = 48 }; /* accounts 1 .. MAKERS rest, the others take */
enum { WALK_EVERY = 32, RECENT_MAX = 1024, PICK_TRIES = 4, TAKEN_ORDERS_MAX = 3 };

/* What a kind of flow is, in numbers. Chances are of 100. */
typedef struct shape {
    const char *kind;
    uint32_t instruments;
    int64_t mid, band;     /* prices of resting orders: at most `band` from the mid */
    int64_t walk;          /* the mid stays so near where it began */
    uint32_t near_octaves; /* a near order stands below 2^n ticks off, each octave as likely as the next */
    uint32_t recent;       /* near orders that a cancel picks from */
    uint32_t rest_chance, cancel_chance; /* the others take */
    uint32_t near_chance;                /* of an order that rests */
    uint32_t recent_chance;              /* of a cancel: a recent order, not just any */
    uint32_t vain_chance;                /* of an order that takes: its price meets nothing */
    uint32_t lots_max;
    bool sweeps;
} shape;

static const shape SHAPES[] = {
    {"deep", 1, 1000000, 65536, 512, 8, 1024, 45, 45, 50, 50, 20, 100, false},
    {"cancel", 1, 100000, 4096, 256, 8, 64, 45, 45, 60, 80, 30, 100, false},
    {"sweep", 1, 100000, 1024, 128, 8, 64, 100, 0, 90, 0, 0, 20, true},
    {"wide", 10000, 1000, 64, 16, 5, RECENT_MAX, 48, 46, 80, 90, 20, 100, false},
};

typedef struct maker {
    const shape *is;
    FILE *file;
    flow_header header;
    dense_book book;
    uint64_t random;
    uint64_t id; /* last one given */
    uint64_t written[5];
    uint32_t *live; /* ids that may rest; those that do not any more are dropped when drawn */
    uint32_t live_count;
    uint32_t recent[RECENT_MAX];
    uint32_t recent_next;
    int64_t *mids;    /* by instrument */
    uint64_t *chance; /* by rank: sum of the chances up to it */
    uint32_t open_target;
} maker;

static uint64_t draw(maker *m, uint64_t below) { /* splitmix64 */
    uint64_t z = m->random += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (z ^ z >> 31) % below;
}

static bool chance(maker *m, uint32_t of_100) { return draw(m, 100) < of_100; }

static void put(maker *m, const operation *operation) {
    if (fwrite(operation, sizeof *operation, 1, m->file) != 1) client_fail("the flow must fit on the disk");
    m->header.count++;
    m->written[operation->kind]++;
    dense_apply(&m->book, operation);
}

/* ---- Orders ------------------------------------------------------------------------------------------------------ */

static uint32_t draw_instrument(maker *m) {
    const uint32_t count = m->is->instruments;
    if (count == 1) return 1;
    uint64_t at = draw(m, m->chance[count - 1]);
    uint32_t low = 0, high = count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (m->chance[middle] > at) high = middle;
        else low = middle + 1;
    }
    return 1 + (uint32_t)((uint64_t)low * 7919 % count); /* neighbours in rank are not neighbours in number */
}

static int64_t draw_offset(maker *m, bool near) {
    if (!near) return (int64_t)draw(m, (uint64_t)m->is->band);
    return (int64_t)draw(m, 2ull << draw(m, m->is->near_octaves));
}

static void walk(maker *m, uint32_t instrument) {
    int64_t *mid = &m->mids[instrument - 1];
    if (draw(m, WALK_EVERY) != 0) return;
    *mid += draw(m, 2) == 0 ? 1 : -1;
    if (*mid > m->is->mid + m->is->walk) *mid = m->is->mid + m->is->walk;
    if (*mid < m->is->mid - m->is->walk) *mid = m->is->mid - m->is->walk;
}

/* An order that rests: never at a price that would trade. */
static void put_resting(maker *m, uint32_t instrument, bool near) {
    uint8_t side = draw(m, 2) == 0 ? OPERATION_BUY : OPERATION_SELL;
    int64_t off = 1 + draw_offset(m, near), mid = m->mids[instrument - 1];
    int64_t price = side == OPERATION_BUY ? mid - off : mid + off;
    int64_t other = dense_best(&m->book, instrument, side == OPERATION_BUY ? OPERATION_SELL : OPERATION_BUY);
    if (other >= 0) {
        other += m->book.price_min;
        if (side == OPERATION_BUY && price >= other) price = other - 1;
        if (side == OPERATION_SELL && price <= other) price = other + 1;
    }
    put(m, &(operation){.id = ++m->id,
                        .price_ticks = price,
                        .quantity_lots = 1 + (int64_t)draw(m, m->is->lots_max),
                        .instrument = instrument,
                        .account = 1 + (uint32_t)draw(m, MAKERS),
                        .kind = OPERATION_LIMIT,
                        .side = side});
    m->live[m->live_count++] = (uint32_t)m->id;
    if (near) m->recent[m->recent_next++ % m->is->recent] = (uint32_t)m->id;
}

/* An order that rests, 0 if there is none. */
static uint32_t pick(maker *m) {
    if (chance(m, m->is->recent_chance)) {
        for (uint32_t i = 0; i < PICK_TRIES; i++) {
            uint32_t id = m->recent[draw(m, m->is->recent)];
            if (m->book.orders[id].left > 0) return id;
        }
    }
    while (m->live_count > 0) {
        uint32_t at = (uint32_t)draw(m, m->live_count), id = m->live[at];
        if (m->book.orders[id].left > 0) return id;
        m->live[at] = m->live[--m->live_count];
    }
    return 0;
}

static void put_cancel(maker *m, uint32_t id) {
    put(m, &(operation){.id = id,
                        .instrument = m->book.orders[id].instrument,
                        .account = m->book.orders[id].account,
                        .kind = OPERATION_CANCEL});
}

static void put_taker(maker *m, uint32_t instrument, uint8_t side, int64_t price, int64_t lots, uint8_t kind) {
    put(m, &(operation){.id = ++m->id,
                        .price_ticks = price,
                        .quantity_lots = lots,
                        .instrument = instrument,
                        .account = 1 + MAKERS + (uint32_t)draw(m, ACCOUNTS - MAKERS),
                        .kind = kind,
                        .side = side});
}

/* Take the oldest orders at the best prices, the last of them in part; sometimes ask for one lot more than stands
 * there, or at a price that meets nothing. False if that side is empty. */
static bool put_take(maker *m, uint32_t instrument) {
    uint8_t side = draw(m, 2) == 0 ? OPERATION_BUY : OPERATION_SELL,
            other = side == OPERATION_BUY ? OPERATION_SELL : OPERATION_BUY;
    int64_t level = dense_best(&m->book, instrument, other), lots = 0;
    if (level < 0) return false;
    if (chance(m, m->is->vain_chance)) {
        int64_t behind = level + m->book.price_min + (side == OPERATION_BUY ? -1 : 1);
        put_taker(m, instrument, side, behind, 1 + (int64_t)draw(m, m->is->lots_max), OPERATION_TAKE);
        return true;
    }
    uint32_t id = dense_first(&m->book, instrument, level), orders = 1 + (uint32_t)draw(m, TAKEN_ORDERS_MAX);
    for (;;) {
        lots += m->book.orders[id].left;
        if (--orders == 0) break;
        uint32_t next = m->book.orders[id].next;
        int64_t next_level = next != 0 ? level : dense_next(&m->book, instrument, other, level);
        if (next_level < 0) break;
        level = next_level;
        id = next != 0 ? next : dense_first(&m->book, instrument, level);
    }
    bool more = m->book.orders[id].next == 0 && chance(m, 50);
    if (more) lots++;
    else lots -= (int64_t)draw(m, m->book.orders[id].left);
    put_taker(m, instrument, side, level + m->book.price_min, lots,
              more || chance(m, 75) ? OPERATION_TAKE : OPERATION_LIMIT);
    return true;
}

/* Take whole levels, the best ones of a side. False if that side has not so many. */
static bool put_sweep(maker *m) {
    uint8_t side = draw(m, 2) == 0 ? OPERATION_BUY : OPERATION_SELL,
            other = side == OPERATION_BUY ? OPERATION_SELL : OPERATION_BUY;
    uint32_t levels = 2 + (uint32_t)draw(m, 23);
    int64_t level = dense_best(&m->book, 1, other), last = level, lots = 0;
    for (uint32_t i = 0; i < levels; i++, level = dense_next(&m->book, 1, other, level)) {
        if (level < 0) return false;
        for (uint32_t id = dense_first(&m->book, 1, level); id != 0; id = m->book.orders[id].next)
            lots += m->book.orders[id].left;
        last = level;
    }
    put_taker(m, 1, side, last + m->book.price_min, lots, chance(m, 75) ? OPERATION_TAKE : OPERATION_LIMIT);
    return true;
}

/* ---- Flows ------------------------------------------------------------------------------------------------------- */

static void put_next(maker *m) {
    const shape *s = m->is;
    uint32_t instrument = draw_instrument(m), open = m->book.open_count, slack = m->open_target / 50 + 8;
    walk(m, instrument);
    if (s->sweeps) {
        if (open < m->open_target || !put_sweep(m)) put_resting(m, instrument, chance(m, s->near_chance));
        return;
    }
    uint64_t what = draw(m, 100);
    bool rests = what < s->rest_chance, cancels = !rests && what < s->rest_chance + s->cancel_chance;
    if (rests && open > m->open_target + slack) rests = false, cancels = true;
    else if (cancels && open + slack < m->open_target) rests = true, cancels = false;
    if (cancels) {
        uint32_t id = pick(m);
        if (id != 0) {
            put_cancel(m, id);
            return;
        }
    }
    if (rests || cancels || !put_take(m, instrument)) put_resting(m, instrument, chance(m, s->near_chance));
}

static void open_maker(maker *m, const shape *s, const char *path, uint64_t seed, uint32_t open, uint32_t timed) {
    *m = (maker){.is = s, .random = seed * 0x9e3779b97f4a7c15ull + 1, .open_target = open};
    m->header = (flow_header){.instrument_count = s->instruments, .account_count = ACCOUNTS};
    memcpy(m->header.magic, FLOW_MAGIC, sizeof m->header.magic);
    int64_t reach = s->band + s->walk + 2;
    dense_open(&m->book, s->instruments, s->mid - reach, s->mid + reach, open + timed);
    m->live = malloc(((size_t)open + timed + 1) * sizeof *m->live);
    m->mids = malloc(s->instruments * sizeof *m->mids);
    m->chance = malloc(s->instruments * sizeof *m->chance);
    m->file = fopen(path, "wb");
    if (m->live == NULL || m->mids == NULL || m->chance == NULL) client_fail("no memory for a flow");
    if (m->file == NULL) client_fail("the flow's file must be writable: %s", path);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->instruments; i++) {
        m->mids[i] = s->mid;
        m->chance[i] = sum += (1ull << 40) / (i + 1);
    }
}

static void print_answer(uint64_t count, uint64_t preload, const dense_book *b) {
    printf("\"operations\": %llu, \"preload\": %llu, \"resting\": %u, \"self_trades\": %llu, \"refused\": %llu, "
           "\"fills\": %llu, \"lots\": %llu, \"notional\": %llu, \"digest\": \"%016llx\"}\n",
           (unsigned long long)count, (unsigned long long)preload, b->open_count, (unsigned long long)b->self_trades,
           (unsigned long long)b->refused, (unsigned long long)b->answer.fills, (unsigned long long)b->answer.lots,
           (unsigned long long)b->answer.notional, (unsigned long long)b->answer.digest);
}

static void start_answer(dense_book *b) {
    b->answer = (flow_answer){.digest = FLOW_DIGEST_START};
    b->refused = 0;
}

static int run_make(const char *kind, const char *path, uint64_t seed, uint32_t open, uint32_t timed) {
    const shape *s = NULL;
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        if (strcmp(SHAPES[i].kind, kind) == 0) s = &SHAPES[i];
    if (s == NULL) client_fail("a flow must be deep, cancel, sweep or wide, was %s", kind);
    if (open < 2 * s->instruments || timed < 1 || (uint64_t)open + timed > 1u << 30)
        client_fail("a flow of %s must have at least %u resting orders and 1 operation, had %u and %u", kind,
                    2 * s->instruments, open, timed);
    maker m;
    open_maker(&m, s, path, seed, open, timed);
    flow_header none = {0};
    if (fwrite(&none, sizeof none, 1, m.file) != 1) client_fail("the flow must fit on the disk");
    for (uint32_t i = 0; i < open; i++)
        put_resting(&m, 1 + i % s->instruments, s->sweeps || s->instruments > 1 ? chance(&m, s->near_chance) : false);
    m.header.preload = m.header.count;
    start_answer(&m.book);
    uint64_t before[5];
    memcpy(before, m.written, sizeof before);
    for (uint32_t i = 0; i < timed; i++) put_next(&m);
    rewind(m.file);
    if (fwrite(&m.header, sizeof m.header, 1, m.file) != 1 || fclose(m.file) != 0)
        client_fail("the flow must fit on the disk");
    printf("{\"flow\": \"%s\", \"seed\": %llu, \"timed\": {\"limit\": %llu, \"immediate\": %llu, \"cancel\": %llu}, ",
           kind, (unsigned long long)seed, (unsigned long long)(m.written[OPERATION_LIMIT] - before[OPERATION_LIMIT]),
           (unsigned long long)(m.written[OPERATION_TAKE] - before[OPERATION_TAKE]),
           (unsigned long long)(m.written[OPERATION_CANCEL] - before[OPERATION_CANCEL]));
    print_answer(m.header.count, m.header.preload, &m.book);
    dense_close(&m.book);
    free(m.live);
    free(m.mids);
    free(m.chance);
    return 0;
}

/* ---- Answers and cuts -------------------------------------------------------------------------------------------- */

static int run_answer(const char *path) {
    operations flow;
    operations_open(&flow, path);
    int64_t lowest = INT64_MAX, highest = 0;
    for (uint64_t i = 0; i < flow.count; i++) {
        const operation *o = &flow.at[i];
        if (o->kind != OPERATION_LIMIT && o->kind != OPERATION_TAKE) continue;
        if (o->price_ticks < lowest) lowest = o->price_ticks;
        if (o->price_ticks > highest) highest = o->price_ticks;
    }
    if (flow.id_max > 1u << 30) client_fail("ids must be at most 2^30, found %llu", (unsigned long long)flow.id_max);
    dense_book b;
    dense_open(&b, flow.instrument_count, lowest, highest, (uint32_t)flow.id_max);
    for (uint64_t i = 0; i < flow.count; i++) {
        if (i == flow.preload) start_answer(&b);
        dense_apply(&b, &flow.at[i]);
    }
    printf("{");
    print_answer(flow.count, flow.preload, &b);
    dense_close(&b);
    return 0;
}

static int run_cut(const char *path, const char *out, uint64_t timed) {
    operations flow;
    operations_open(&flow, path);
    uint64_t count = flow.count > flow.preload + timed ? flow.preload + timed : flow.count;
    flow_header h = {.count = count,
                     .preload = flow.preload,
                     .instrument_count = flow.instrument_count,
                     .account_count = flow.account_count};
    memcpy(h.magic, FLOW_MAGIC, sizeof h.magic);
    FILE *file = fopen(out, "wb");
    if (file == NULL || fwrite(&h, sizeof h, 1, file) != 1 || fwrite(flow.at, sizeof *flow.at, count, file) != count ||
        fclose(file) != 0)
        client_fail("the flow's file must be writable: %s", out);
    printf("{\"operations\": %llu, \"preload\": %llu}\n", (unsigned long long)count, (unsigned long long)h.preload);
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count == 7 && strcmp(arguments[1], "make") == 0)
        return run_make(arguments[2], arguments[3], strtoull(arguments[4], NULL, 10),
                        (uint32_t)strtoul(arguments[5], NULL, 10), (uint32_t)strtoul(arguments[6], NULL, 10));
    if (argument_count == 3 && strcmp(arguments[1], "answer") == 0) return run_answer(arguments[2]);
    if (argument_count == 5 && strcmp(arguments[1], "cut") == 0)
        return run_cut(arguments[2], arguments[3], strtoull(arguments[4], NULL, 10));
    fprintf(stderr, "usage: flows make KIND FILE SEED OPEN TIMED | flows answer FILE | flows cut FILE OUT TIMED\n");
    return 2;
}
