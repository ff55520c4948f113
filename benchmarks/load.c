/* The load generator: signed orders at an engine node, or the same frames at an echo.
 *
 *   load setup PORT OPEN                       define the market: assets, an instrument, accounts and their funds
 *   load trip  PORT OPEN COUNT SAMPLES         one order at a time into a book of OPEN orders, each round trip timed
 *   load echo  PORT COUNT SAMPLES              the same against an echo: 64 bytes there, 64 bytes back
 *   load pipe  PORT OPEN COUNT WINDOW          many orders in flight, at most WINDOW unanswered
 *
 * SAMPLES is a file that gets each round trip in nanoseconds (32 bits each). The key is `IRONBOOK_BENCH_KEY`, its
 * secret `IRONBOOK_BENCH_SECRET` (64 hex digits): never on the command line. Last line: one JSON object.
 *
 *      generator (one CPU)                         server (the other CPU)
 *      frame signed before the clock starts
 *      t0  send 64 bytes   ───────────────────▶    authenticate, check, match, journal
 *      t1  first report    ◀───────────────────    96 bytes a report
 *
 * Every answer is checked: reports are counted against what the flow's own book says, anything refused ends the run.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/client.h"
#include "support/flow.h"

enum { FIRST_ACCOUNT = 1, ACCOUNT_COUNT = 64, INSTRUMENT = 1, LEVEL_COUNT = 256, SEED = 20260301, BURST_MAX = 512 };

typedef struct run {
    client client;
    flow *flow;
    uint32_t open_target; /* resting orders */
    uint64_t digest;
    uint64_t reports, fills;
} run;

static uint8_t *read_secret(void);
static void begin(run *r, uint16_t port);
static void set_up(run *r);
static void run_trips(run *r, uint32_t count, const char *samples_path);
static void run_echo(uint16_t port, uint32_t count, const char *samples_path);
static void run_pipe(run *r, uint32_t count, uint32_t window);

int main(int argument_count, char **arguments) {
    static const struct {
        const char *name;
        int arguments;
    } modes[] = {{"setup", 4}, {"trip", 6}, {"echo", 5}, {"pipe", 6}};
    size_t mode = 0;
    while (mode < 4 && (argument_count < 2 || strcmp(arguments[1], modes[mode].name) != 0)) mode++;
    if (mode == 4 || argument_count != modes[mode].arguments) {
        fprintf(stderr, "usage: load setup PORT OPEN | trip PORT OPEN COUNT SAMPLES | echo PORT COUNT SAMPLES | "
                        "pipe PORT OPEN COUNT WINDOW\n");
        return 2;
    }
    uint16_t port = (uint16_t)atoi(arguments[2]);
    if (mode == 2) {
        run_echo(port, (uint32_t)atoi(arguments[3]), arguments[4]);
        return 0;
    }
    run r = {.digest = 0xcbf29ce484222325ull, .open_target = (uint32_t)atoi(arguments[3])};
    begin(&r, port);
    if (mode == 0) set_up(&r);
    if (mode == 1) run_trips(&r, (uint32_t)atoi(arguments[4]), arguments[5]);
    if (mode == 3) run_pipe(&r, (uint32_t)atoi(arguments[4]), (uint32_t)atoi(arguments[5]));
    flow_close(r.flow);
    client_close(&r.client);
    return 0;
}

/* ---- The session ------------------------------------------------------------------------------------------------- */

static uint8_t *read_secret(void) {
    static uint8_t secret[32];
    const char *text = getenv("IRONBOOK_BENCH_SECRET");
    if (text == NULL || strlen(text) != 64) client_fail("IRONBOOK_BENCH_SECRET must be 64 hex digits");
    for (size_t i = 0; i < sizeof secret; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) client_fail("IRONBOOK_BENCH_SECRET must be 64 hex digits");
        secret[i] = (uint8_t)byte;
    }
    return secret;
}

static uint64_t take_report(run *r) {
    const wire_report *report = client_report(&r->client);
    r->digest = flow_digest(r->digest, report);
    r->reports++;
    r->fills += report->kind == EVENT_FILLED;
    return report->reference;
}

/* Send one command and wait for the report that ends it: the one with its client sequence that stands last. */
static void enter(run *r, const uint8_t command[COMMAND_BYTES], uint32_t reports) {
    uint8_t frame[FRAME_BYTES];
    client_sign(&r->client, command, frame);
    client_send(&r->client, frame, sizeof frame);
    while (reports-- > 0) take_report(r);
}

static void emit_now(void *self, const uint8_t command[COMMAND_BYTES], int closes) {
    enter(self, command, closes != 0);
}

/* Nothing rests: every run starts from an empty book, whatever the one before left. */
static void cancel_all(run *r) {
    for (uint32_t i = 0; i < ACCOUNT_COUNT; i++) {
        wire_mass_cancel command = {.kind = KIND_MASS_CANCEL, .account = FIRST_ACCOUNT + i, .instrument = INSTRUMENT};
        uint8_t bytes[COMMAND_BYTES];
        memcpy(bytes, &command, sizeof bytes);
        enter(r, bytes, 0);
        uint64_t mine = r->client.client_sequence;
        for (;;) {
            const wire_report *report = client_report(&r->client);
            if (report->kind == EVENT_APPLIED && report->reference == mine) break;
        }
    }
}

static flow_options options_for(uint32_t open_target) {
    return (flow_options){.seed = SEED,
                          .account_first = FIRST_ACCOUNT,
                          .account_count = ACCOUNT_COUNT,
                          .instrument = INSTRUMENT,
                          .open_target = open_target,
                          .level_count = LEVEL_COUNT,
                          .mid_price_ticks = 10000};
}

/* Frames in large bursts, all answers awaited. */
static void fill_book(run *r, uint32_t count) {
    uint8_t command[COMMAND_BYTES], frames[BURST_MAX][FRAME_BYTES];
    while (count > 0) {
        uint32_t burst = count < BURST_MAX ? count : BURST_MAX, reports = 0;
        for (uint32_t i = 0; i < burst; i++) {
            reports += flow_next_resting(r->flow, command);
            client_sign(&r->client, command, frames[i]);
        }
        client_send(&r->client, frames, (size_t)burst * FRAME_BYTES);
        while (reports-- > 0) take_report(r);
        count -= burst;
    }
}

static void begin(run *r, uint16_t port) {
    const char *key = getenv("IRONBOOK_BENCH_KEY");
    flow_options options = options_for(r->open_target);
    r->flow = flow_open(&options);
    if (key == NULL || r->flow == NULL) client_fail("IRONBOOK_BENCH_KEY must be set");
    client_open(&r->client, port, key, read_secret());
}

static void set_up(run *r) {
    flow_options options = options_for(r->open_target);
    uint32_t commands = flow_setup(&options, emit_now, r);
    printf("{\"commands\": %u, \"digest\": \"%016llx\"}\n", commands, (unsigned long long)r->digest);
}

/* ---- Round trips ------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void tell_samples(uint32_t *samples, uint32_t count, uint64_t digest, uint64_t reports, const char *path) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(samples, sizeof *samples, count, file) != count || fclose(file) != 0)
        client_fail("the samples could not be written to %s", path);
    qsort(samples, count, sizeof *samples, compare);
    printf("{\"count\": %u, \"p50_ns\": %u, \"p90_ns\": %u, \"p99_ns\": %u, \"p999_ns\": %u, \"max_ns\": %u, "
           "\"reports\": %llu, \"digest\": \"%016llx\"}\n",
           count, samples[count / 2], samples[(uint64_t)count * 90 / 100], samples[(uint64_t)count * 99 / 100],
           samples[(uint64_t)count * 999 / 1000], samples[count - 1], (unsigned long long)reports,
           (unsigned long long)digest);
}

static void run_trips(run *r, uint32_t count, const char *samples_path) {
    cancel_all(r);
    fill_book(r, r->open_target);
    uint8_t(*frames)[FRAME_BYTES] = malloc((size_t)count * FRAME_BYTES), command[COMMAND_BYTES];
    uint8_t *expected = malloc(count);
    uint32_t *samples = calloc(count, sizeof *samples);
    if (frames == NULL || expected == NULL || samples == NULL) client_fail("no memory for %u frames", count);
    for (uint32_t i = 0; i < count; i++) {
        expected[i] = (uint8_t)flow_next(r->flow, command);
        client_sign(&r->client, command, frames[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = monotonic_ns();
        client_send(&r->client, frames[i], FRAME_BYTES);
        if (!client_wait(&r->client, REPORT_BYTES)) client_fail("the engine closed the line");
        samples[i] = (uint32_t)(monotonic_ns() - start);
        for (uint32_t n = 0; n < expected[i]; n++) take_report(r);
    }
    tell_samples(samples, count, r->digest, r->reports, samples_path);
    free(frames);
    free(expected);
    free(samples);
}

static void run_echo(uint16_t port, uint32_t count, const char *samples_path) {
    client c;
    uint8_t frame[FRAME_BYTES] = {0};
    uint64_t digest = 0xcbf29ce484222325ull;
    uint32_t *samples = calloc(count, sizeof *samples);
    if (samples == NULL) client_fail("no memory for %u samples", count);
    client_open(&c, port, NULL, NULL);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(frame, &i, sizeof i);
        uint64_t start = monotonic_ns();
        client_send(&c, frame, FRAME_BYTES);
        if (!client_wait(&c, FRAME_BYTES)) client_fail("the echo closed the line");
        samples[i] = (uint32_t)(monotonic_ns() - start);
        if (memcmp(c.in + c.in_begin, frame, FRAME_BYTES) != 0) client_fail("an echo must say what it was told");
        c.in_begin += FRAME_BYTES;
        digest = (digest ^ i) * 0x100000001b3ull;
    }
    tell_samples(samples, count, digest, count, samples_path);
    client_close(&c);
    free(samples);
}

/* ---- Pipelined --------------------------------------------------------------------------------------------------- */

/* Commands are counted in flight by the reports they must still bring; the sender stops at the window. */
static void run_pipe(run *r, uint32_t count, uint32_t window) {
    cancel_all(r);
    fill_book(r, r->open_target);
    uint8_t(*frames)[FRAME_BYTES] = malloc((size_t)count * FRAME_BYTES), command[COMMAND_BYTES];
    uint8_t *expected = malloc(count);
    if (frames == NULL || expected == NULL) client_fail("no memory for %u frames", count);
    uint64_t orders_before = flow_order_count(r->flow);
    for (uint32_t i = 0; i < count; i++) {
        expected[i] = (uint8_t)flow_next(r->flow, command);
        client_sign(&r->client, command, frames[i]);
    }
    uint64_t orders = flow_order_count(r->flow) - orders_before;

    uint32_t sent = 0;
    uint64_t due = 0, reports_before = r->reports, fills_before = r->fills, sent_bytes = 0;
    uint64_t start = monotonic_ns();
    while (sent < count || due > 0) {
        while (sent < count && due < window) { /* hand over whole bursts; the socket may take a part */
            uint32_t burst = count - sent < BURST_MAX ? count - sent : BURST_MAX;
            uint64_t end_bytes = (uint64_t)(sent + burst) * FRAME_BYTES;
            ssize_t done = send(r->client.socket, (uint8_t *)frames + sent_bytes, end_bytes - sent_bytes,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
            if (done < 0 && errno == EAGAIN) break;
            if (done <= 0) client_fail("the line broke while sending: %s", strerror(errno));
            sent_bytes += (uint64_t)done;
            for (uint32_t whole = (uint32_t)(sent_bytes / FRAME_BYTES); sent < whole; sent++) due += expected[sent];
        }
        if (due == 0) continue;
        if (!client_wait(&r->client, REPORT_BYTES)) client_fail("the engine closed the line");
        while (due > 0 && r->client.in_end - r->client.in_begin >= REPORT_BYTES) {
            take_report(r);
            due--;
        }
    }
    uint64_t took_ns = monotonic_ns() - start;
    printf("{\"commands\": %u, \"orders\": %llu, \"fills\": %llu, \"reports\": %llu, \"seconds\": %.6f, "
           "\"commands_per_s\": %.0f, \"digest\": \"%016llx\"}\n",
           count, (unsigned long long)orders, (unsigned long long)(r->fills - fills_before),
           (unsigned long long)(r->reports - reports_before), (double)took_ns / 1e9,
           (double)count * 1e9 / (double)took_ns, (unsigned long long)r->digest);
    free(frames);
    free(expected);
}
