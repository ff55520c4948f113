/* What goes out: reports straight from the core's ring, messages from a small queue, in one gathering write.
 *
 *   cut item     reports 41 … 57          message     reports 58 … 60        held: 61 … (not released yet)
 *   [ tail ] ──▶ [ ring, ring wraps ] ──▶ [ pong ] ──▶ [ ring ]              stays in the ring
 *
 * A message waits behind the reports that were made before it, so that a pong tells that all reports of earlier frames
 * have come. It also waits until the journal has released what it vouches for: a client believes a pong or an answer
 * that names recorded numbers, so they must be as safe as a report. Nothing overtakes what is held, with one exception:
 * at level cluster, where the wait can be long, a refusal, which tells of nothing recorded, does. An item that the
 * kernel took only a part of is copied into the tail: the stream stays whole even if the ring moves on. Reports
 * above journal_released stay where they are until ingress_on_wake. Nothing else is ever copied here.
 *
 * The ring of a key holds the last `reports_kept` reports. When all but two chunks of events are taken by reports
 * still to be sent, sending comes before the next command; a reader with all but one chunk to read is too slow and is
 * ended. One whose reports or messages are only held back for the disk makes reading stop until the disk has come
 * after.
 */
#include <errno.h>

#include "parts.h"

#define DOOMED_LINE_LOST 0xffff /* in `doomed`: the peer is gone, nothing is said */

enum what { TAIL, REPORTS, MESSAGES, REFUSALS };

typedef struct plan {
    struct iovec parts[PART_COUNT_MAX];
    uint8_t what[PART_COUNT_MAX];
    uint32_t count;
    bool held;
} plan;

static void publish(ingress *in) {
    if (!in->unpublished) return;
    journal_publish(in->journal);
    in->unpublished = false;
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

void outbound_mark(ingress *in, connection *c) {
    if (c->dirty) return;
    INGRESS_INVARIANT(in->dirty_count < in->options.connection_count_max);
    c->dirty = true;
    uint32_t place = in->dirty_first + in->dirty_count++;
    if (place >= in->options.connection_count_max) place -= in->options.connection_count_max;
    in->dirty_ring[place] = (uint32_t)(c - in->connections);
}

static uint64_t newest_report(const ingress *in, const connection *c) {
    return c->state == LIVE ? in->states[c->key].last_report : 0;
}

/* A refused ping names the last number recorded; a refused command one that is not. */
static bool tells_of_records(const ingress *in, const connection *c, const void *message) {
    wire_report m;
    memcpy(&m, message, sizeof m);
    if (m.kind == MESSAGE_REFUSED) return m.reference <= in->states[c->key].last_client_sequence;
    return m.kind == MESSAGE_LOGON_ANSWER || m.kind == MESSAGE_PONG || m.kind == MESSAGE_REPEAT;
}

void outbound_put(ingress *in, connection *c, const void *message) {
    if (c->message_end == MESSAGE_COUNT_MAX) {
        publish(in);
        outbound_flush(in, c);
        if (c->message_end == MESSAGE_COUNT_MAX) { /* a flush that got anywhere moved the queue to its start */
            if (c->doomed == 0) c->doomed = CODE_SLOW_READER;
            outbound_mark(in, c);
            return;
        }
    }
    memcpy(&c->messages[c->message_end], message, REPORT_BYTES);
    c->vouches[c->message_end] = tells_of_records(in, c, message) ? core_sequence(in->core) : 0;
    c->behind[c->message_end++] = newest_report(in, c);
    outbound_mark(in, c);
}

/* Keep messages[m] at place `to` of the queue. */
static void queue_keep(connection *c, uint32_t to, uint32_t m) {
    if (to == m) return;
    c->messages[to] = c->messages[m];
    c->behind[to] = c->behind[m];
    c->vouches[to] = c->vouches[m];
}

/* Of pongs that stand together only the last one stays: it says all that the others would have said. */
static void pongs_thin(connection *c) {
    uint32_t to = c->message_first;
    for (uint32_t m = c->message_first; m < c->message_end; m++) {
        const bool last = m + 1 == c->message_end || c->messages[m + 1].kind != MESSAGE_PONG;
        if (c->messages[m].kind != MESSAGE_PONG || last) queue_keep(c, to++, m);
    }
    c->message_end = to;
}

bool outbound_room(ingress *in, connection *c, uint32_t count) {
    if (MESSAGE_COUNT_MAX - c->message_end >= count) return true;
    publish(in);
    outbound_flush(in, c);
    if (in->away && c->held && !c->blocked && c->doomed == 0) pongs_thin(c); /* or pings would stop all reading */
    return MESSAGE_COUNT_MAX - c->message_end >= count || c->blocked || c->doomed != 0 || !c->held;
}

static wire_report message_of(const ingress *in, const connection *c, uint8_t kind, uint16_t code) {
    wire_report m = {.kind = kind, .code = code};
    if (c->state >= PENDING) { /* a stranger learns neither the key nor the time */
        m.key = c->key & 0xffff;
        m.received_ns = in->now_ns;
    }
    return m;
}

void outbound_message(ingress *in, connection *c, uint8_t kind, uint16_t code, uint64_t reference, uint64_t order_id) {
    wire_report m = message_of(in, c, kind, code);
    m.reference = reference;
    m.order_id = order_id;
    outbound_put(in, c, &m);
}

/* ---- One write --------------------------------------------------------------------------------------------------- */

static void plan_add(plan *p, enum what what, const void *from, size_t bytes) {
    p->parts[p->count] = (struct iovec){.iov_base = (void *)(uintptr_t)from, .iov_len = bytes};
    p->what[p->count++] = (uint8_t)what;
}

/* How many of a run of reports the journal has released; they stand in order of their sequences. */
static uint32_t released_count(const wire_report *run, uint32_t count, uint64_t released) {
    if (run[count - 1].sequence <= released) return count;
    uint32_t low = 0, high = count - 1; /* run[high] is not released */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (run[middle].sequence <= released) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Reports from *next to `last`, as far as they are released. */
static void plan_reports(const ingress *in, connection *c, plan *p, uint64_t *next, uint64_t last, uint64_t released) {
    while (*next <= last && p->count < PART_COUNT_MAX) {
        uint32_t count = 0;
        const wire_report *run = core_reports(in->core, c->key, *next, &count);
        if (run == NULL || count == 0) { /* the ring has lapped this reader */
            c->doomed = CODE_SLOW_READER;
            return;
        }
        if (count > last - *next + 1) count = (uint32_t)(last - *next + 1);
        const uint32_t released_now = released_count(run, count, released);
        if (released_now > 0) plan_add(p, REPORTS, run, (size_t)released_now * REPORT_BYTES);
        *next += released_now;
        if (released_now < count) {
            p->held = true;
            return;
        }
    }
}

static void plan_make(const ingress *in, connection *c, plan *p) {
    const uint64_t released = in->failed ? 0 : in->finished ? in->told_until : journal_released(in->journal);
    const uint64_t last = newest_report(in, c);
    uint64_t next = c->sent_report + 1;
    p->count = 0;
    p->held = false;
    if (c->tail_bytes > 0) plan_add(p, TAIL, c->tail, c->tail_bytes);
    for (uint32_t m = c->message_first; m < c->message_end && p->count < PART_COUNT_MAX;) {
        plan_reports(in, c, p, &next, c->behind[m], released);
        if (c->vouches[m] > released) p->held = true;
        if (p->held || c->doomed != 0 || p->count == PART_COUNT_MAX) return;
        uint32_t end = m + 1;
        while (end < c->message_end && c->behind[end] < next && c->vouches[end] <= released) end++;
        plan_add(p, MESSAGES, &c->messages[m], (size_t)(end - m) * REPORT_BYTES);
        m = end;
    }
    if (p->count < PART_COUNT_MAX && last > 0) plan_reports(in, c, p, &next, last, released);
}

static bool is_refusal(const connection *c, uint32_t m) {
    return c->messages[m].kind == MESSAGE_REFUSED && c->vouches[m] == 0;
}

/* Take the first `count` refusals out of the queue, from between what stays. */
static void refusals_take(connection *c, uint32_t count) {
    uint32_t to = c->message_first;
    for (uint32_t m = c->message_first; m < c->message_end; m++) {
        if (count > 0 && is_refusal(c, m)) count--;
        else queue_keep(c, to++, m);
    }
    c->message_end = to;
}

/* Note that `items` items of a part went out, the last one perhaps into the tail. */
static void consume(ingress *in, connection *c, enum what what, uint32_t items) {
    if (what == REPORTS) {
        c->sent_report += items;
        in->counters.reports_sent += items;
    } else if (what == MESSAGES) {
        c->message_first += items;
        in->counters.messages_sent += items;
    } else if (what == REFUSALS) {
        refusals_take(c, items);
        in->counters.messages_sent += items;
    }
}

/* Note that the first `bytes` of a plan went out. True if that was all of it. */
static bool plan_sent(ingress *in, connection *c, const plan *p, size_t bytes) {
    bool all = true;
    uint32_t refusals = 0; /* taken at the end: that moves what later parts point to */
    for (uint32_t i = 0; i < p->count && all; i++) {
        const size_t part = p->parts[i].iov_len, sent = bytes < part ? bytes : part;
        const uint8_t *from = p->parts[i].iov_base;
        bytes -= sent;
        all = sent == part;
        if (p->what[i] == TAIL) {
            c->tail_bytes -= (uint32_t)sent;
            memmove(c->tail, c->tail + sent, c->tail_bytes);
            continue;
        }
        const size_t cut = sent % REPORT_BYTES;
        if (cut > 0) {
            c->tail_bytes = (uint32_t)(REPORT_BYTES - cut);
            memcpy(c->tail, from + sent, c->tail_bytes);
        }
        const uint32_t items = (uint32_t)(sent / REPORT_BYTES) + (cut > 0);
        if (p->what[i] == REFUSALS) refusals += items;
        else consume(in, c, p->what[i], items);
    }
    if (refusals > 0) consume(in, c, REFUSALS, refusals);
    if (c->message_first == c->message_end) c->message_first = c->message_end = 0;
    return all;
}

/* A queue that is nearly full and whose start has been sent makes room at its end. */
static void queue_close_up(connection *c) {
    if (MESSAGE_COUNT_MAX - c->message_end >= CORE_GROUP_MAX || c->message_first == 0) return;
    const uint32_t count = c->message_end - c->message_first;
    memmove(c->messages, c->messages + c->message_first, count * sizeof c->messages[0]);
    memmove(c->behind, c->behind + c->message_first, count * sizeof c->behind[0]);
    memmove(c->vouches, c->vouches + c->message_first, count * sizeof c->vouches[0]);
    c->message_first = 0;
    c->message_end = count;
}

static void set_held(ingress *in, connection *c, bool held) {
    if (c->held == held) return;
    c->held = held;
    if (held) in->held_count++;
    else in->held_count--;
}

/* Refusals that stand behind what is held back: they need not wait for it. */
static void plan_refusals(const connection *c, plan *p) {
    for (uint32_t m = c->message_first; m < c->message_end && p->count < PART_COUNT_MAX; m++)
        if (is_refusal(c, m)) plan_add(p, REFUSALS, &c->messages[m], REPORT_BYTES);
}

void outbound_flush(ingress *in, connection *c) {
    plan p;
    while (!c->blocked && c->doomed == 0) {
        plan_make(in, c, &p);
        set_held(in, c, p.held);
        if (p.count == 0 && p.held && in->clustered && c->doomed == 0) plan_refusals(c, &p);
        if (p.count == 0 || c->doomed != 0) break;
        const ssize_t sent = in->host->send(in->host->self, c->socket, p.parts, (int)p.count);
        if (sent < 0 && sent != -EAGAIN && sent != -EINTR) {
            c->doomed = DOOMED_LINE_LOST;
            break;
        }
        if (!plan_sent(in, c, &p, sent > 0 ? (size_t)sent : 0)) {
            c->blocked = true;
            if (c->watched) continue;
            c->watched = true;
            in->options.calls.want_write(in->options.calls.self, c->socket, true);
        }
    }
    queue_close_up(c);
    if (c->doomed != 0) outbound_mark(in, c);
}

void outbound_last(ingress *in, const connection *c, const void *message) {
    const struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = REPORT_BYTES};
    if (in->host->send(in->host->self, c->socket, &part, 1) == REPORT_BYTES) in->counters.messages_sent++;
}

void outbound_farewell(ingress *in, connection *c, uint16_t code) {
    const bool gone = c->doomed == DOOMED_LINE_LOST;
    c->doomed = 0;
    if (gone || code == CODE_NONE) return;
    if (code != CODE_SLOW_READER) outbound_flush(in, c); /* its ring may have moved on: nothing more is taken from it */
    if (c->blocked || c->doomed != 0 || c->tail_bytes > 0) return;
    const wire_report last = message_of(in, c, MESSAGE_SESSION_ENDED, code);
    outbound_last(in, c, &last);
}

/* ---- Many connections -------------------------------------------------------------------------------------------- */

void outbound_drain(ingress *in) {
    while (in->dirty_count > 0) { /* bounded: only the end of a session marks others, and each ends once */
        connection *c = &in->connections[in->dirty_ring[in->dirty_first]];
        if (++in->dirty_first == in->options.connection_count_max) in->dirty_first = 0;
        in->dirty_count--;
        c->dirty = false;
        if (c->state == FREE) continue;
        publish(in);
        if (c->doomed == 0) outbound_flush(in, c);
        if (c->doomed == DOOMED_LINE_LOST) session_end(in, c, CODE_NONE, LOGOFF_REASON_LINE_LOST);
        else if (c->doomed != 0) session_end(in, c, c->doomed, LOGOFF_REASON_REFUSED);
    }
    publish(in);
}

/* A single command makes more reports than the ring can hold back: wait for the disk, but not for ever. */
void outbound_await_release(const ingress *in) {
    const uint64_t until = journal_written(in->journal);
    for (uint32_t i = 0; i < RELEASE_WAIT_COUNT && journal_released(in->journal) < until; i++) {
        if (journal_failure(in->journal) != NULL) return;
        ingress_pause(in);
    }
}

static uint64_t backlog(const ingress *in, const connection *c) {
    return c->state == LIVE ? in->states[c->key].last_report - c->sent_report : 0;
}

bool outbound_waits(const ingress *in, uint64_t count) {
    for (uint32_t i = 0; i < in->options.connection_count_max && in->held_count > 0; i++) {
        const connection *c = &in->connections[i];
        if (c->held && !c->blocked && backlog(in, c) > count) return true;
    }
    return false;
}

static void relieve_one(ingress *in, connection *c, bool command_under_way) {
    publish(in);
    outbound_flush(in, c);
    if (backlog(in, c) <= in->press_at || c->doomed != 0) return;
    const bool full = backlog(in, c) > in->full_at;
    if (!c->blocked && !command_under_way) {
        if (in->away && !full) in->reports_wait = true;
        else ingress_stall(in);
        return;
    }
    if (!c->blocked && full) {
        outbound_await_release(in);
        outbound_flush(in, c);
    }
    if (backlog(in, c) + in->chunk.room > in->reports_kept) c->doomed = CODE_SLOW_READER;
}

void outbound_relieve(ingress *in, bool command_under_way) {
    in->pressed = false;
    for (uint32_t i = 0; i < in->dirty_count; i++) {
        uint32_t place = in->dirty_first + i;
        if (place >= in->options.connection_count_max) place -= in->options.connection_count_max;
        connection *c = &in->connections[in->dirty_ring[place]];
        if (backlog(in, c) > in->press_at && c->doomed == 0) relieve_one(in, c, command_under_way);
    }
}
