/* The ingress as a whole: its memory, its connections, its timer and its end. The contract is ingress.h, the inside
 * parts.h.
 *
 *   one mapping:  connections[] │ states of keys[] │ two key tables │ free slots[] │ dirty ring[]
 *   another:      receive buffers of 64 KiB, one a connection      (untouched pages cost nothing)
 *   a third:      the core
 *
 * Every call from the loop has the same frame: ingress_enter reads the clock once, ingress_leave publishes what was
 * appended and sends what became due to whomever it concerns.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "parts.h"

#define TIMER_MS_MAX (24u * 3600u * 1000u)
#define TIMER_LATE_NS 1000000000ull /* a timer later than this: the process was stopped, or the loop was held up */

void ingress_broken(const char *what, const char *file, int line) {
    fprintf(stderr, "ingress: this must hold: %s (%s:%d)\n", what, file, line);
    abort();
}

/* ---- Open -------------------------------------------------------------------------------------------------------- */

static ingress_status refuse_option(ingress_error *error, const char *must) {
    error->status = INGRESS_E_OPTIONS;
    snprintf(error->text, sizeof error->text, "%s", must);
    snprintf(error->hint, sizeof error->hint, "correct the setting of that name");
    return INGRESS_E_OPTIONS;
}

static ingress_status check_options(const ingress_options *o, ingress_error *error) {
    memset(error, 0, sizeof *error);
    if (core_bytes(&o->core) == 0) return refuse_option(error, "every core capacity must be within core/limits.h");
    if (o->core.reports_kept < INGRESS_REPORTS_KEPT_MIN)
        return refuse_option(error, "reports_kept must be at least 256, so that sessions can be served from it");
    if (o->connection_count_max < 1 || o->connection_count_max > INGRESS_CONNECTIONS_MAX)
        return refuse_option(error, "connection_count_max must be from 1 to 65535");
    if (o->idle_ms < 1 || o->idle_ms > TIMER_MS_MAX) return refuse_option(error, "idle_ms must be from 1 ms to a day");
    if (o->logon_timeout_ms < 1 || o->logon_timeout_ms > TIMER_MS_MAX)
        return refuse_option(error, "logon_timeout_ms must be from 1 ms to a day");
    if (o->tick_interval_ms > TIMER_MS_MAX) return refuse_option(error, "tick_interval_ms must be at most a day");
    if (o->level < JOURNAL_PROCESS || o->level > JOURNAL_CLUSTER)
        return refuse_option(error, "level must be process (1), disk (2) or cluster (3)");
    if (o->level == JOURNAL_CLUSTER && o->unshipped_records_max - 1 >= UNSHIPPED_RECORDS_MAX)
        return refuse_option(error, "unshipped_records_max must be from 1 to 2^40 at level cluster");
    return INGRESS_OK;
}

static size_t whole_lines(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static void *map_pages(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Cut the next piece off a mapping. */
static void *cut(uint8_t **from, size_t bytes) {
    void *piece = *from;
    *from += whole_lines(bytes);
    return piece;
}

static bool take_memory(ingress *in) {
    const ingress_options *o = &in->options;
    const size_t connections = o->connection_count_max, keys = o->core.key_count_max;
    in->core_bytes = core_bytes(&o->core);
    in->buffers_bytes = connections * RECEIVE_BYTES;
    in->memory_bytes = whole_lines(connections * sizeof(connection)) + whole_lines(keys * sizeof(key_state)) +
                       2 * whole_lines(keys_bytes((uint32_t)keys)) + 2 * whole_lines(connections * sizeof(uint32_t));
    in->core_memory = map_pages(in->core_bytes);
    in->buffers = map_pages(in->buffers_bytes);
    in->memory = map_pages(in->memory_bytes);
    if (in->core_memory == NULL || in->buffers == NULL || in->memory == NULL) return false;
    (void)madvise(in->core_memory, in->core_bytes, MADV_HUGEPAGE); /* fewer TLB misses where allowed; else no harm */
    return true;
}

static void lay_out(ingress *in) {
    const uint32_t connections = in->options.connection_count_max, keys = in->options.core.key_count_max;
    uint8_t *at = in->memory;
    in->connections = cut(&at, connections * sizeof(connection));
    in->states = cut(&at, keys * sizeof(key_state));
    for (int i = 0; i < 2; i++) keys_lay_out(&in->tables[i], cut(&at, keys_bytes(keys)), keys);
    in->free_slots = cut(&at, connections * sizeof(uint32_t));
    in->dirty_ring = cut(&at, connections * sizeof(uint32_t));
    in->keys = &in->tables[0];
    for (uint32_t i = 0; i < connections; i++) {
        in->connections[i].buffer = (uint8_t *)in->buffers + (size_t)i * RECEIVE_BYTES;
        in->free_slots[i] = connections - 1 - i; /* slot 0 is taken first */
    }
    in->free_count = connections;
    in->chunk.room = EVENT_CHUNK_COUNT < in->reports_kept / 4 ? EVENT_CHUNK_COUNT : (uint32_t)(in->reports_kept / 4);
    in->full_at = in->reports_kept - 2 * in->chunk.room; /* one chunk to notice it in, one to come before relief */
    in->press_at = in->clustered ? in->full_at / 2 : in->full_at; /* the other half is for cancels */
}

static bool take_randomness(ingress *in) {
    uint8_t secret[HMAC_SECRET_BYTES];
    if (in->host->random(in->host->self, secret, sizeof secret) != 0) return false;
    if (in->host->random(in->host->self, in->peers.seed, sizeof in->peers.seed) != 0) return false;
    uint64_t *seed = &in->options.core.hash_seed;
    if (in->host->random(in->host->self, seed, sizeof *seed) != 0) return false;
    hmac_key_set(&in->dummy_key, secret);
    return true;
}

ingress_status ingress_open(const ingress_options *options, const host *host, ingress **out, ingress_error *error) {
    if (check_options(options, error) != INGRESS_OK) return error->status;
    ingress *in = aligned_alloc(64, whole_lines(sizeof *in));
    if (in != NULL) {
        memset(in, 0, sizeof *in);
        in->options = *options;
        in->options.core.event_mask = 0; /* reports are sent from where the core keeps them */
        in->host = host;
        in->full_pool = "";
        in->reports_kept = options->core.reports_kept;
        in->clustered = options->level == JOURNAL_CLUSTER;
        in->peers.bad_max = options->refused_peer_max;
    }
    if (in == NULL || !take_memory(in) || !take_randomness(in)) {
        ingress_close(in);
        error->status = INGRESS_E_MEMORY;
        snprintf(error->text, sizeof error->text,
                 "the system must give memory for core and connections, and randomness; it did not");
        snprintf(error->hint, sizeof error->hint, "lower the core's capacities or connection_count_max");
        return INGRESS_E_MEMORY;
    }
    lay_out(in);
    INGRESS_INVARIANT(core_open(in->core_memory, in->core_bytes, &in->options.core, &in->core) == CORE_OK);
    *out = in;
    return INGRESS_OK;
}

static void unmap(void *at, size_t bytes) {
    if (at != NULL) munmap(at, bytes);
}

void ingress_close(ingress *in) {
    if (in == NULL) return;
    journal_error ignored;
    if (in->journal != NULL) (void)journal_close(in->journal, &ignored);
    if (in->memory != NULL && in->keys != NULL) {
        for (int i = 0; i < 2; i++) keys_clear(&in->tables[i]);
        for (uint32_t i = 0; i < in->options.connection_count_max; i++) hmac_key_wipe(&in->connections[i].session_key);
    }
    unmap(in->core_memory, in->core_bytes);
    unmap(in->buffers, in->buffers_bytes);
    unmap(in->memory, in->memory_bytes);
    free(in);
}

/* ---- The frame of every call ------------------------------------------------------------------------------------- */

void ingress_enter(ingress *in) {
    const uint64_t last = core_received_ns(in->core);
    in->wall_ns = in->host->now_ns(in->host->self);
    in->steady_ns = in->host->steady_ns(in->host->self);
    if (in->wall_ns > in->now_ns) in->now_ns = in->wall_ns;
    if (last > in->now_ns) in->now_ns = last;
}

static bool journal_is_good(ingress *in) {
    const journal_error *failure = journal_failure(in->journal);
    if (failure == NULL || failure->status == JOURNAL_E_NO_ROOM) return true;
    in->failed = true;
    in->options.calls.failed(in->options.calls.self, failure->text);
    return false;
}

static void record_digest(ingress *in) {
    core_status status;
    const wire_digest digest = {.kind = KIND_DIGEST, .state_digest = core_digest(in->core)};
    if (record_system(in, &digest, 0, &status) != ROOM_YES) return; /* at the next call, then */
    INGRESS_INVARIANT(status == CORE_OK);
    in->digest_sequence = core_sequence(in->core);
}

void ingress_leave(ingress *in) {
    if (in->failed || !journal_is_good(in)) return; /* nothing more is acknowledged */
    const uint32_t interval = in->options.digest_interval_records;
    if (interval > 0 && core_sequence(in->core) - in->digest_sequence >= interval) record_digest(in);
    outbound_drain(in);
}

static bool is_up(const ingress *in) { return in->recovered && !in->finished && !in->failed; }

/* ---- Connections ------------------------------------------------------------------------------------------------- */

static connection *named(const ingress *in, uint64_t name) {
    const uint32_t slot = (uint32_t)name;
    if (slot >= in->options.connection_count_max) return NULL;
    connection *c = &in->connections[slot];
    return c->state != FREE && c->generation == (uint32_t)(name >> 32) ? c : NULL;
}

void ingress_free(ingress *in, connection *c, uint16_t code) {
    const int socket = c->socket;
    if (c->held) in->held_count--;
    c->held = false;
    c->state = FREE;
    c->buffer_used = 0;
    hmac_key_wipe(&c->session_key);
    in->free_slots[in->free_count++] = (uint32_t)(c - in->connections);
    in->counters.connections_open--;
    in->options.calls.closed(in->options.calls.self, socket, code);
}

/* Every slot is taken: the stranger that has been here longest without logging on makes room. */
static bool evict_stranger(ingress *in) {
    connection *oldest = NULL;
    for (uint32_t i = 0; i < in->options.connection_count_max; i++) {
        connection *c = &in->connections[i];
        if ((c->state == NEW || c->state == PROXIED) && (oldest == NULL || c->last_seen_ns < oldest->last_seen_ns))
            oldest = c;
    }
    if (oldest == NULL) return false;
    in->counters.connections_evicted++;
    session_end(in, oldest, CODE_LOGON_REFUSED, LOGOFF_REASON_REFUSED);
    return true;
}

ingress_status ingress_accept(ingress *in, int socket, const uint8_t address[ADDRESS_BYTES], bool proxied,
                              uint64_t *name) {
    if (!is_up(in) || in->stopping) return INGRESS_E_STOPPED;
    ingress_enter(in);
    if (!proxied && peers_refused(&in->peers, address, in->steady_ns)) {
        in->counters.peers_refused++;
        return INGRESS_E_PEER;
    }
    if (in->free_count == 0 && !evict_stranger(in)) return INGRESS_E_CONNECTIONS;
    const uint32_t slot = in->free_slots[--in->free_count];
    connection *c = &in->connections[slot];
    *c = (connection){.buffer = c->buffer,
                      .generation = c->generation + 1,
                      .dirty = c->dirty,
                      .socket = socket,
                      .state = proxied ? PROXIED : NEW,
                      .last_seen_ns = in->steady_ns};
    memcpy(c->address, address, ADDRESS_BYTES);
    in->counters.connections_accepted++;
    in->counters.connections_open++;
    *name = (uint64_t)c->generation << 32 | slot;
    ingress_leave(in);
    return INGRESS_OK;
}

static void take_buffer(ingress *in, connection *c) {
    if (c->state < PENDING && logon_take(in, c) != DONE) return;
    if (c->state >= PENDING) frames_take(in, c);
}

void ingress_readable(ingress *in, uint64_t name) {
    connection *c = named(in, name);
    if (c == NULL || !is_up(in) || in->stalled) return;
    ingress_enter(in);
    const ssize_t got =
        in->host->receive(in->host->self, c->socket, c->buffer + c->buffer_used, RECEIVE_BYTES - c->buffer_used);
    if (got > 0) {
        c->buffer_used += (uint32_t)got;
        take_buffer(in, c);
    } else if (got != -EAGAIN && got != -EINTR) {
        session_end(in, c, CODE_NONE, LOGOFF_REASON_LINE_LOST);
    }
    ingress_leave(in);
}

void ingress_writable(ingress *in, uint64_t name) {
    connection *c = named(in, name);
    if (c == NULL || !c->blocked || !is_up(in)) return;
    ingress_enter(in);
    c->blocked = false;
    outbound_flush(in, c);
    if (!c->blocked) {
        c->watched = false;
        in->options.calls.want_write(in->options.calls.self, c->socket, false);
    }
    ingress_leave(in);
}

bool ingress_step(ingress *in) { return in->journal != NULL && journal_step(in->journal); }

void ingress_pause(const ingress *in) {
    if (in->options.sync_cpu == JOURNAL_STEPPED) journal_step(in->journal);
    else sched_yield();
}

void ingress_stall(ingress *in) {
    in->stalled = in->was_stalled = true;
    in->counters.stalls++;
}

/* ---- Wake and timer ---------------------------------------------------------------------------------------------- */

/* What came in before reading stopped is taken now, as far as the journal lets it. */
static void resume_reading(ingress *in) {
    in->stalled = outbound_waits(in, in->away ? in->full_at : in->press_at);
    for (uint32_t i = 0; i < in->options.connection_count_max && !in->stalled; i++) {
        connection *c = &in->connections[i];
        if (c->state >= PENDING && c->buffer_used >= FRAME_BYTES) frames_take(in, c);
    }
}

/* Level cluster: has nothing been released for so long that whoever ships it must be away? Then commands are refused,
 * for a client that hears nothing can do nothing; a short wait is better waited for. */
static void look_at_release(ingress *in) {
    const uint64_t released = journal_released(in->journal);
    if (released != in->released_seen || released == journal_written(in->journal)) in->released_seen_ns = in->steady_ns;
    in->released_seen = released;
    in->away = in->steady_ns - in->released_seen_ns >= AWAY_NS;
    in->reports_wait = in->away && outbound_waits(in, in->press_at);
    in->counters.unshipped_records = journal_last(in->journal) - journal_shipped(in->journal);
}

static void wake(ingress *in) {
    for (uint32_t i = 0; i < in->options.connection_count_max && in->held_count > 0; i++)
        if (in->connections[i].held) outbound_mark(in, &in->connections[i]);
    outbound_drain(in);
    if (in->clustered) look_at_release(in);
    if (in->counters.logoffs_owed > 0) session_pay_owed(in);
    if (in->stalled) resume_reading(in);
}

void ingress_on_wake(ingress *in) {
    if (!is_up(in)) return;
    ingress_enter(in);
    if (journal_is_good(in)) wake(in);
    ingress_leave(in);
}

/* Nobody is late while we were: when the timer itself comes late, or reading was stalled, what peers sent in time still
 * waits in their sockets and is read before the next round. */
static void end_the_late(ingress *in) {
    const bool we_were_late = in->was_stalled || in->steady_ns - in->last_timer_ns > TIMER_LATE_NS;
    in->last_timer_ns = in->steady_ns;
    in->was_stalled = in->stalled;
    if (we_were_late) return;
    const uint64_t idle_ns = in->options.idle_ms * NS_PER_MS, logon_ns = in->options.logon_timeout_ms * NS_PER_MS;
    for (uint32_t i = 0; i < in->options.connection_count_max; i++) {
        connection *c = &in->connections[i];
        if (c->state == FREE) continue;
        if (c->state == PENDING && c->held)
            c->last_seen_ns = in->steady_ns; /* its answer waits for the disk, not for it */
        const uint64_t silent_ns = in->steady_ns - c->last_seen_ns;
        if (c->state < PENDING && silent_ns >= logon_ns) {
            in->counters.logons_timed_out++;
            session_end(in, c, CODE_LOGON_REFUSED, LOGOFF_REASON_REFUSED);
        } else if (c->state >= PENDING && silent_ns >= idle_ns) {
            session_end(in, c, CODE_IDLE_TIMEOUT, LOGOFF_REASON_IDLE);
        }
    }
}

/* Time is told at regular intervals while anybody is there or anything has happened, busy or not, for the book events;
 * and as soon as an order expires, a countdown runs out or an auction ends, whether anybody is there or not. */
static void tick(ingress *in) {
    core_status status;
    const uint64_t interval_ns = in->options.tick_interval_ms * NS_PER_MS;
    const bool matters = in->counters.sessions_live > 0 || core_sequence(in->core) > in->last_tick_sequence;
    const bool due = core_due_ns(in->core) <= in->now_ns || (matters && in->now_ns - in->last_tick_ns >= interval_ns);
    if (interval_ns == 0 || !due) return;
    const wire_clock_tick tick = {.kind = KIND_CLOCK_TICK};
    if (record_system(in, &tick, 0, &status) != ROOM_YES) return;
    INGRESS_INVARIANT(status == CORE_OK);
    in->last_tick_ns = in->now_ns;
    in->last_tick_sequence = core_sequence(in->core);
}

void ingress_on_timer(ingress *in) {
    if (!is_up(in)) return;
    ingress_enter(in);
    if (journal_is_good(in)) {
        wake(in); /* should a wake-up ever be missed, it is this late and no later */
        end_the_late(in);
        tick(in);
    }
    ingress_leave(in);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

ingress_status ingress_set_keys(ingress *in, const ingress_key *keys, uint32_t count, ingress_error *error) {
    memset(error, 0, sizeof *error);
    key_table *before = in->keys, *after = before == &in->tables[0] ? &in->tables[1] : &in->tables[0];
    if (!keys_fill(after, keys, count, error->text, sizeof error->text)) {
        error->status = INGRESS_E_OPTIONS;
        snprintf(error->hint, sizeof error->hint, "correct the key file; the keys of before stay in use");
        return INGRESS_E_OPTIONS;
    }
    const bool up = is_up(in);
    if (up) ingress_enter(in);
    for (uint32_t i = 0; i < in->options.connection_count_max; i++) {
        connection *c = &in->connections[i];
        if (c->state < PENDING) continue;
        const int secret =
            keys_session_secret(&before->slots[c->key], &after->slots[c->key], c->secret_index, c->address);
        if (secret >= 0) c->secret_index = (uint8_t)secret;
        else if (up) session_end(in, c, CODE_KEY_CHANGED, LOGOFF_REASON_KEY_CHANGED);
    }
    in->keys = after;
    keys_clear(before);
    if (up) ingress_leave(in);
    return INGRESS_OK;
}

/* ---- Stop -------------------------------------------------------------------------------------------------------- */

void ingress_begin_stop(ingress *in) { in->stopping = true; }

/* Say good-bye on every line. The journal is closed: all of it is on disk, and nothing is held back any more but, at
 * level cluster, what was not shipped. */
static void close_all(ingress *in) {
    for (uint32_t i = 0; i < in->options.connection_count_max; i++) {
        connection *c = &in->connections[i];
        if (c->state == FREE) continue;
        outbound_farewell(in, c, CODE_SERVER_STOPPING);
        ingress_free(in, c, CODE_SERVER_STOPPING);
    }
}

ingress_status ingress_finish(ingress *in, ingress_error *error) {
    memset(error, 0, sizeof *error);
    INGRESS_INVARIANT(in->recovered && !in->finished);
    in->stopping = true;
    ingress_enter(in);
    for (uint32_t key = 1; key < in->options.core.key_count_max && !in->failed; key++) {
        key_state *k = &in->states[key];
        if (k->live == NULL) continue;
        if (journal_room_waiting(in, 1) != ROOM_YES) break; /* the next start ends the rest */
        const wire_logoff logoff = {.kind = KIND_LOGOFF, .session = k->session, .reason = LOGOFF_REASON_STOPPED};
        core_status status;
        if (record_system(in, &logoff, key, &status) != ROOM_YES) break;
        in->counters.sessions_live--;
    }
    if (!in->failed) session_pay_owed(in);
    if (!in->failed && in->options.digest_interval_records > 0) record_digest(in);
    in->told_until = core_sequence(in->core);
    if (in->clustered && !in->failed) {
        journal_publish(in->journal);
        outbound_await_release(in);
        in->told_until = journal_released(in->journal);
    }
    const journal_status status = journal_close(in->journal, &error->journal);
    in->journal = NULL;
    in->finished = true;
    if (status != JOURNAL_OK) {
        error->status = INGRESS_E_JOURNAL;
        snprintf(error->text, sizeof error->text, "%s", error->journal.text);
        snprintf(error->hint, sizeof error->hint, "%s", error->journal.hint);
        in->failed = true; /* what was held back stays so */
    }
    close_all(in);
    return error->status;
}

/* ---- Questions --------------------------------------------------------------------------------------------------- */

uint64_t ingress_released(const ingress *in) { return in->failed ? 0 : in->told_until; }

const core *ingress_core(const ingress *in) { return in->core; }

const char *ingress_full_pool(const ingress *in) { return in->full_pool; }

const ingress_counters *ingress_get_counters(const ingress *in) { return &in->counters; }
