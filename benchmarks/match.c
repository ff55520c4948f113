/* The core alone, in process, on one thread: nanoseconds a command of a recorded or made-up flow of orders.
 *
 *   match FLOW ROUNDS client|engine     cancels name the order by the client's own number, or by the engine's
 *
 *      flow file ──▶ records (ahead of time) ──▶ preload (not timed) ──▶ look ahead, apply, all events ──▶ ns
 *
 * Each round opens a fresh core. Timed rounds take the clock twice; rounds of another sort time every command and keep
 * the least time seen for each, so that what the machine does between two commands is not taken for a command's cost:
 * the greatest of these is the worst command. Likewise `undisturbed` adds up the least time of each stretch of 1,024
 * commands. A last round only collects the answer: what filled, in order. All rounds must end in one digest. Last line:
 * one JSON object.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include "engine_node/core/core.h"
#include "support/client.h"
#include "support/operations.h"

enum {
    EVENT_ROOM = 256, /* events lie behind each other here, as for a publisher that takes some hundred at a time */
    QUOTE_ASSET = 1,  /* the base asset of instrument n is n + 1 */
    KEY_COUNT_MAX = 4096,
    STRETCH = 1024,               /* commands between two looks at the clock */
    CHECKED_INSTRUMENTS_MAX = 64, /* core_check of very many balances takes longer than the benchmark */
    TICK_NS = 200
};

/* A clock that is cheap enough to be asked for each command. */
static inline uint64_t ticks(void) {
#ifdef __x86_64__
    return __rdtsc();
#else
    return monotonic_ns();
#endif
}

typedef struct program {
    operations flow;
    bool by_client;
    uint32_t key_count;
    wire_record *records; /* setup, then one record an operation */
    uint64_t setup, count;
    uint64_t *client_sequences; /* last one used of each key */
} program;

typedef struct replica {
    void *memory;
    size_t bytes;
    core *core;
} replica;

/* ---- Records ----------------------------------------------------------------------------------------------------- */

static uint32_t key_of(const program *p, uint32_t account) { return account % p->key_count + 1; }

static void add(program *p, uint32_t key, const void *command) {
    wire_record *r = &p->records[p->count++];
    wire_header header;
    memcpy(&header, command, sizeof header);
    if (key != 0) header.client_sequence = ++p->client_sequences[key] & 0xffffffffffffull;
    memcpy(r->command, command, COMMAND_BYTES);
    memcpy(r->command, &header, sizeof header);
    r->key = key;
    r->received_ns = 1000000000ull + p->count * TICK_NS;
}

static void add_named(program *p, const char *name, const void *command) {
    wire_text text = {.kind = KIND_TEXT};
    memcpy(text.text, name, strlen(name));
    add(p, 1, &text);
    add(p, 1, command);
}

static void add_deposit(program *p, uint32_t account, uint32_t asset, int64_t amount_units) {
    add(p, 1, &(wire_deposit){.kind = KIND_DEPOSIT, .account = account, .asset = asset, .amount_units = amount_units});
}

/* Assets, instruments, accounts, and money for whatever the flow does. */
static void add_setup(program *p) {
    const operations *f = &p->flow;
    const int64_t amount = UNITS_MAX / 2 / (f->account_count + 1);
    add(p, 0, &(wire_term){.kind = KIND_TERM, .term = 1, .node = 1});
    add_named(p, "CASH", &(wire_asset){.kind = KIND_ASSET, .asset = QUOTE_ASSET, .decimals = 4});
    for (uint32_t i = 1; i <= f->instrument_count; i++) {
        char name[TEXT_BYTES_MAX];
        snprintf(name, sizeof name, "I%u", i);
        add_named(p, name, &(wire_asset){.kind = KIND_ASSET, .asset = i + 1, .decimals = 2});
        add_named(p, name,
                  &(wire_instrument){.kind = KIND_INSTRUMENT,
                                     .instrument = i,
                                     .base_asset = i + 1,
                                     .quote_asset = QUOTE_ASSET,
                                     .maker_fee_ppm = 100,
                                     .taker_fee_ppm = 250,
                                     .trading_state = TRADING_STATE_OPEN,
                                     .base_units_per_lot = 1,
                                     .quote_units_per_tick_lot = 1});
    }
    uint8_t *seen = calloc((size_t)(f->account_count + 1) * (f->instrument_count + 1), 1);
    if (seen == NULL) client_fail("no memory");
    for (uint32_t a = 1; a <= f->account_count; a++) {
        add(p, 1, &(wire_account){.kind = KIND_ACCOUNT, .account = a});
        add_deposit(p, a, QUOTE_ASSET, amount);
    }
    for (uint64_t i = 0; i < f->count; i++) {
        const operation *o = &f->at[i];
        uint8_t *known = &seen[(size_t)o->account * (f->instrument_count + 1) + o->instrument];
        if (!*known) add_deposit(p, o->account, o->instrument + 1, amount);
        *known = 1;
    }
    free(seen);
    p->setup = p->count;
}

static void add_operation(program *p, const operation *o, const int64_t *prices, const uint64_t *sequences) {
    const uint32_t key = key_of(p, o->account);
    switch (o->kind) {
    case OPERATION_LIMIT:
    case OPERATION_TAKE:
        add(p, key,
            &(wire_new_order){.kind = KIND_NEW_ORDER,
                              .account = o->account,
                              .instrument = o->instrument,
                              .price_ticks = o->price_ticks,
                              .quantity_lots = o->quantity_lots,
                              .client_order_id = p->by_client ? o->id : 0,
                              .side = o->side,
                              .order_type = ORDER_TYPE_LIMIT,
                              .time_in_force = o->kind == OPERATION_LIMIT ? TIME_IN_FORCE_GOOD_TILL_CANCELLED
                                                                          : TIME_IN_FORCE_IMMEDIATE_OR_CANCEL,
                              .self_trade_prevention = SELF_TRADE_PREVENTION_NONE});
        break;
    case OPERATION_CANCEL:
        add(p, key,
            &(wire_cancel){.kind = KIND_CANCEL,
                           .account = o->account,
                           .instrument = o->instrument,
                           .order_id = p->by_client ? 0 : sequences[o->id],
                           .target_client_order_id = p->by_client ? o->id : 0});
        break;
    default:
        add(p, key,
            &(wire_replace){.kind = KIND_REPLACE,
                            .account = o->account,
                            .instrument = o->instrument,
                            .order_id = p->by_client ? 0 : sequences[o->id],
                            .price_ticks = prices[o->id],
                            .quantity_lots = o->quantity_lots,
                            .target_client_order_id = p->by_client ? o->id : 0});
    }
}

static void make_records(program *p) {
    const operations *f = &p->flow;
    const uint64_t pairs = (uint64_t)f->account_count * f->instrument_count;
    const uint64_t most = f->count + 16 + 4ull * f->instrument_count + 2ull * f->account_count + pairs;
    p->key_count = f->account_count < KEY_COUNT_MAX - 2 ? f->account_count + 1 : KEY_COUNT_MAX - 2;
    p->records = mmap(NULL, most * sizeof *p->records, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    p->client_sequences = calloc(KEY_COUNT_MAX, sizeof *p->client_sequences);
    int64_t *prices = calloc(f->id_max + 1, sizeof *prices);
    uint64_t *sequences = calloc(f->id_max + 1, sizeof *sequences);
    (void)madvise(p->records, most * sizeof *p->records, MADV_HUGEPAGE);
    if (p->records == MAP_FAILED || p->client_sequences == NULL || prices == NULL || sequences == NULL)
        client_fail("no memory for %llu records", (unsigned long long)most);
    add_setup(p);
    for (uint64_t i = 0; i < f->count; i++) {
        const operation *o = &f->at[i];
        if (o->kind == OPERATION_LIMIT || o->kind == OPERATION_TAKE) {
            prices[o->id] = o->price_ticks;
            sequences[o->id] = p->count + 1; /* an order's engine id is the sequence of its record */
        }
        add_operation(p, o, prices, sequences);
    }
    free(prices);
    free(sequences);
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static replica open_replica(const program *p) {
    const operations *f = &p->flow;
    const uint64_t pairs = (uint64_t)f->account_count * f->instrument_count + f->account_count + 16;
    core_options options = core_options_default();
    options.reports_kept = 0; /* a publisher hands reports out and keeps none */
    options.nonce_count_max = 16;
    options.asset_count_max = f->instrument_count + 2;
    options.instrument_count_max = f->instrument_count + 1;
    options.account_count_max = f->account_count + 1;
    options.key_count_max = p->key_count + 1;
    options.order_count_max = f->open_max + 16;
    options.level_count_max = f->open_max + 64;
    options.ladder_count_max = f->open_max / 4 + 65536;
    options.balance_count_max = (uint32_t)pairs;
    options.position_count_max = (uint32_t)pairs;
    replica r = {.bytes = core_bytes(&options)};
    r.memory = mmap(NULL, r.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r.bytes == 0 || r.memory == MAP_FAILED) client_fail("no memory for a core of %zu bytes", r.bytes);
    (void)madvise(r.memory, r.bytes, MADV_HUGEPAGE); /* as the engine and its replicas ask for */
    /* all of it now: else a command pays for the zeroing of two megabytes */
    if (madvise(r.memory, r.bytes, MADV_POPULATE_WRITE) != 0) memset(r.memory, 0, r.bytes);
    if (core_open(r.memory, r.bytes, &options, &r.core) != CORE_OK) client_fail("the core must open");
    return r;
}

static wire_report chunk[EVENT_ROOM];

static inline void next_place(core_events *out) {
    out->events += out->count;
    out->room -= out->count;
    if (out->room < CORE_EVENTS_CHUNK_MIN) *out = (core_events){.events = chunk, .room = EVENT_ROOM};
}

/* Apply the group that starts at record i; returns its length. */
static inline uint32_t apply(core *c, const program *p, uint64_t i, core_events *out) {
    const uint64_t left = p->count - i;
    const uint32_t known = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
    const uint32_t group = core_group(&p->records[i], known);
    core_look_ahead(c, &p->records[i], known);
    core_status status = core_apply(c, &p->records[i], group, out);
    while (status == CORE_MORE) {
        next_place(out);
        status = core_next(c, out);
    }
    if (status != CORE_OK)
        client_fail("record %llu must apply, found %s %s", (unsigned long long)i, core_status_name(status),
                    core_full_pool(c));
    next_place(out);
    return group;
}

static replica preloaded(const program *p, core_events *out) {
    const uint64_t end = p->setup + p->flow.preload;
    replica r = open_replica(p);
    *out = (core_events){.events = chunk, .room = EVENT_ROOM};
    for (uint64_t i = 0; i < end;) i += apply(r.core, p, i, out);
    return r;
}

/* Ends a round: the digest must be that of every other round. */
static void finish(const program *p, replica *r, uint64_t *digest) {
    const char *broken = p->flow.instrument_count <= CHECKED_INSTRUMENTS_MAX ? core_check(r->core) : NULL;
    if (broken != NULL) client_fail("%s", broken);
    if (*digest != 0 && core_digest(r->core) != *digest) client_fail("all rounds must end in one digest");
    *digest = core_digest(r->core);
    munmap(r->memory, r->bytes);
}

/* Nanoseconds of the whole; and of each stretch, where they are fewer than in an earlier round. */
static uint64_t timed_round(const program *p, uint64_t *stretches, uint64_t *digest) {
    core_events out;
    replica r = preloaded(p, &out);
    const uint64_t start = monotonic_ns();
    uint64_t before = start;
    for (uint64_t i = p->setup + p->flow.preload, stretch = 0; i < p->count; stretch++) {
        const uint64_t end = i + STRETCH < p->count ? i + STRETCH : p->count;
        while (i < end) i += apply(r.core, p, i, &out);
        const uint64_t now = monotonic_ns();
        if (now - before < stretches[stretch]) stretches[stretch] = now - before;
        before = now;
    }
    finish(p, &r, digest);
    return before - start;
}

/* Cycles of each command, where they are fewer than in an earlier round. Returns nanoseconds a cycle. */
static double clocked_round(const program *p, uint32_t *least, uint64_t *digest) {
    core_events out;
    replica r = preloaded(p, &out);
    const uint64_t first = p->setup + p->flow.preload, start_ns = monotonic_ns(), start = ticks();
    uint64_t before = start;
    for (uint64_t i = first; i < p->count; i++) {
        apply(r.core, p, i, &out);
        const uint64_t now = ticks(), took = now - before;
        if (took < least[i - first]) least[i - first] = (uint32_t)took;
        before = ticks();
    }
    const double ns = (double)(monotonic_ns() - start_ns) / (double)(ticks() - start);
    finish(p, &r, digest);
    return ns;
}

/* ---- The answer -------------------------------------------------------------------------------------------------- */

typedef struct answer {
    flow_answer all;
    uint64_t rejected, events;
    uint64_t *fills_of; /* of each timed operation */
} answer;

static void collect(const program *p, const core_events *out, uint64_t at, answer *a) {
    a->events += out->count;
    for (uint32_t i = 0; i < out->count; i++) {
        const wire_report *e = &out->events[i];
        a->rejected += e->kind == EVENT_REJECTED;
        if (e->kind != EVENT_TRADE) continue;
        a->fills_of[at]++;
        flow_answer_fill(&a->all, p->flow.at[e->client_order_id - p->setup - 1].id,
                         p->flow.at[e->order_id - p->setup - 1].id, e->price_ticks, e->quantity_lots);
    }
}

static void collecting_round(const program *p, answer *a, uint64_t *digest) {
    core_events out;
    replica r = preloaded(p, &out);
    const uint64_t first = p->setup + p->flow.preload;
    a->all.digest = FLOW_DIGEST_START;
    a->fills_of = calloc(p->count - first + 1, sizeof *a->fills_of);
    if (a->fills_of == NULL) client_fail("no memory");
    for (uint64_t i = first; i < p->count; i++) {
        out = (core_events){.events = chunk, .room = EVENT_ROOM};
        core_status status = core_apply(r.core, &p->records[i], 1, &out);
        collect(p, &out, i - first, a);
        while (status == CORE_MORE) {
            status = core_next(r.core, &out);
            collect(p, &out, i - first, a);
        }
    }
    finish(p, &r, digest);
}

typedef struct times {
    uint64_t best_ns;    /* of the best round */
    uint64_t *stretches; /* least nanoseconds of each stretch, over all rounds */
    uint32_t *least;     /* least cycles of each command */
    double cycle_ns;
} times;

static void print_result(const program *p, const answer *a, const times *t, uint64_t digest) {
    static const char *const kinds[] = {"", "limit", "take", "cancel", "reduce"};
    const uint64_t timed = p->flow.count - p->flow.preload;
    uint64_t worst = 0;
    for (uint64_t i = 1; i < timed; i++)
        if (t->least[i] > t->least[worst]) worst = i;
    uint64_t undisturbed_ns = 0;
    for (uint64_t i = 0; i <= timed / STRETCH; i++)
        undisturbed_ns += t->stretches[i] == UINT64_MAX ? 0 : t->stretches[i];
    const operation *o = &p->flow.at[p->flow.preload + worst];
    printf("{\"engine\": \"ironbook\", \"named_by\": \"%s\", \"commands\": %llu, \"ns_per_command\": %.1f, "
           "\"ns_per_command_undisturbed\": %.1f, "
           "\"fills\": %llu, \"lots\": %llu, \"notional\": %llu, \"digest\": \"%016llx\", \"refused\": %llu, "
           "\"events\": %llu, \"worst_ns\": %.0f, \"worst\": {\"operation\": %llu, \"kind\": \"%s\", \"id\": %llu, "
           "\"instrument\": %u, \"fills\": %llu}, \"core_digest\": \"%016llx\"}\n",
           p->by_client ? "client" : "engine", (unsigned long long)timed, (double)t->best_ns / (double)timed,
           (double)undisturbed_ns / (double)timed, (unsigned long long)a->all.fills, (unsigned long long)a->all.lots,
           (unsigned long long)a->all.notional, (unsigned long long)a->all.digest, (unsigned long long)a->rejected,
           (unsigned long long)a->events, t->least[worst] * t->cycle_ns, (unsigned long long)(p->flow.preload + worst),
           kinds[o->kind], (unsigned long long)o->id, o->instrument, (unsigned long long)a->fills_of[worst],
           (unsigned long long)digest);
}

int main(int argument_count, char **arguments) {
    const bool named = argument_count == 4 && (!strcmp(arguments[3], "client") || !strcmp(arguments[3], "engine"));
    const int rounds = argument_count == 4 ? atoi(arguments[2]) : 0;
    if (!named || rounds < 1) {
        fprintf(stderr, "usage: match FLOW ROUNDS client|engine\n");
        return 2;
    }
    program p = {.by_client = strcmp(arguments[3], "client") == 0};
    operations_open(&p.flow, arguments[1]);
    make_records(&p);
    const uint64_t timed = p.flow.count - p.flow.preload;
    uint64_t digest = 0;
    times t = {.best_ns = UINT64_MAX,
               .stretches = malloc((timed / STRETCH + 1) * sizeof *t.stretches),
               .least = malloc((timed + 1) * sizeof *t.least)};
    if (t.stretches == NULL || t.least == NULL) client_fail("no memory");
    memset(t.stretches, 0xff, (timed / STRETCH + 1) * sizeof *t.stretches);
    memset(t.least, 0xff, (timed + 1) * sizeof *t.least);
    for (int round = 0; round < rounds; round++) {
        const uint64_t took = timed_round(&p, t.stretches, &digest);
        if (took < t.best_ns) t.best_ns = took;
        printf("round %d: %.1f ns a command\n", round + 1, (double)took / (double)timed);
        fflush(stdout);
    }
    for (int round = 0; round < rounds; round++) t.cycle_ns = clocked_round(&p, t.least, &digest);
    answer a = {0};
    collecting_round(&p, &a, &digest);
    print_result(&p, &a, &t, digest);
    return 0;
}
