/* What happens behind the engine's back: group sync, the durable mark, the next segment.
 *
 *   sync thread                                         keeper
 *   ┌▶ written > synced? ──no──▶ sleep interval ─┐      ┌▶ durable moved, 100 ms passed? ─▶ write the mark, synced
 *   │        │ yes                               │      │  oldest segment durable and left? ─▶ unmap, close
 *   │   msync the range: one group               │      │  newest one half full? ─▶ make the next, hand it over
 *   │   durable, and if shipped released: wake   │      │
 *   └────────┴───────────────────────────────────┘      └──── sleep until woken, 50 ms at most
 *
 * Two threads, because zero-filling a segment takes far longer than a group may wait. The range is synced, not the
 * file: pages made writable ahead of the writer are dirty too, and would all be written each time. A sync
 * write-protects the pages it writes; the next store to the page the writer is in would fault, on the engine's core. So
 * this thread touches that page, and a window ahead, as soon as the sync is over.
 *
 * At level cluster another process stores `shipped` and can't wake anybody here, so this thread looks at it in every
 * round, each CLUSTER_LOOK_US at the latest. At level disk the same step releases what was just synced.
 *
 * A failed sync is final: the kernel has told it once and then calls the pages clean. Nothing more becomes durable, and
 * the caller ends the process. A segment that can't be made is no such thing: it is tried again until there is room.
 */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define KEEPER_SLEEP_NS 50000000

/* ---- Sync -------------------------------------------------------------------------------------------------------- */

static void fail_finally(journal *j, int result, uint64_t first, uint64_t sequence, const char *what) {
    char name[32] = STATE_NAME;
    if (first > 0) segment_name(name, first);
    journal_fail_host(&j->sync_error, result, name, what);
    j->sync_error.status = JOURNAL_E_SYSTEM; /* no room later on would not bring back what this sync lost */
    j->sync_error.sequence = sequence;
    j->sync_error.offset = first > 0 ? record_offset(first, sequence) : 0;
    snprintf(j->sync_error.hint, sizeof j->sync_error.hint,
             "Look at the disk and the kernel's log, then start again: nothing acknowledged is lost.");
    atomic_store_explicit(&j->failure, &j->sync_error, memory_order_release);
    atomic_store_explicit(&j->broken, true, memory_order_release);
    if (j->options.wake >= 0) j->host->wake(j->host->self, j->options.wake);
}

/* Make the page that the writer is in writable again, and when it runs out a window ahead: four groups like this. */
static void prefault(journal *j, uint64_t written, uint64_t group) {
    uint64_t first = segment_first(j->maker.segment_records, written + 1);
    segment *s = segment_place(j, first);
    if (written + 1 == first) return; /* the keeper did it when it made the segment */
    uint64_t window = PREFAULT_BYTES / RECORD_BYTES;
    if (window < 4 * group) window = 4 * group;
    uint64_t last = first + j->maker.segment_records - 1;
    uint64_t until = written + 1;
    if (j->prefaulted < written + window / 2) {
        until = written + window < last ? written + window : last;
        j->prefaulted = until;
    }
    uint64_t from = record_offset(first, written + 1), to = record_offset(first, until + 1);
    j->host->prefault(j->host->self, s->at + from, (size_t)(to - from));
}

bool background_sync(journal *j) {
    uint64_t written = atomic_load_explicit(&j->state->written, memory_order_acquire);
    if (written == j->synced || atomic_load_explicit(&j->broken, memory_order_relaxed)) return false;
    uint64_t records = j->maker.segment_records;
    for (uint64_t sequence = j->synced + 1; sequence <= written;) {
        uint64_t first = segment_first(records, sequence);
        uint64_t behind = first + records <= written ? first + records : written + 1;
        segment *s = segment_place(j, first);
        INVARIANT(s->first == first);
        uint64_t from = sequence == first ? 0 : record_offset(first, sequence), to = record_offset(first, behind);
        int result = j->host->sync_mapped(j->host->self, s->file, s->at + from, (size_t)(to - from));
        if (result != 0) {
            fail_finally(j, result, first, sequence, "write records to the disk");
            return false;
        }
        sequence = behind;
    }
    uint64_t half = segment_first(records, written) + records / 2 - 1;
    bool hurry = j->synced < half && written >= half;
    uint64_t group = written - j->synced;
    j->synced = written;
    atomic_store_explicit(&j->state->durable, written, memory_order_release);
    if (j->options.level == JOURNAL_DISK) background_release(j);
    prefault(j, written, group);
    if (hurry && !j->stepped) background_hurry(j);
    return true;
}

bool background_release(journal *j) {
    if (j->options.level == JOURNAL_PROCESS || j->freed == j->synced) return false;
    uint64_t passed = j->synced;
    if (j->options.level == JOURNAL_CLUSTER) {
        uint64_t shipped = atomic_load_explicit(&j->state->shipped, memory_order_acquire);
        if (shipped < passed) passed = shipped;
    }
    if (passed <= j->freed || atomic_load_explicit(&j->broken, memory_order_relaxed)) return false;
    j->freed = passed;
    atomic_store_explicit(&j->state->released, passed, memory_order_release);
    if (j->options.wake >= 0) j->host->wake(j->host->self, j->options.wake);
    return true;
}

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Keep -------------------------------------------------------------------------------------------------------- */

static bool keep_mark(journal *j, bool now) {
    uint64_t durable = atomic_load_explicit(&j->state->durable, memory_order_acquire);
    uint64_t now_ns = j->host->now_ns(j->host->self);
    bool early = now_ns - j->marked_ns < MARK_INTERVAL_NS; /* a clock that steps back makes one mark early */
    if (durable == j->marked || (early && !now) || atomic_load_explicit(&j->broken, memory_order_relaxed)) return false;
    state_mark mark;
    state_mark_make(&mark, durable, now_ns);
    int result = j->host->write_synced(j->host->self, j->state_file, &mark, sizeof mark, offsetof(state_page, mark));
    if (result != 0) {
        fail_finally(j, result, 0, durable, "record the durable mark");
        return false;
    }
    j->marked = durable;
    j->marked_ns = now_ns;
    return true;
}

static bool keep_let_go(journal *j) {
    uint64_t durable = atomic_load_explicit(&j->state->durable, memory_order_acquire);
    bool done = false;
    while (j->kept_first < j->newest_first && j->kept_first + j->maker.segment_records - 1 <= durable) {
        segment_close(&j->maker, segment_place(j, j->kept_first));
        j->kept_first += j->maker.segment_records;
        done = true;
    }
    return done;
}

static void keep_no_room(journal *j, int result, uint64_t first, uint64_t now_ns) {
    j->room_retry_ns = now_ns + ROOM_RETRY_NS;
    if (atomic_exchange(&j->next_status, JOURNAL_E_NO_ROOM) == JOURNAL_E_NO_ROOM) return; /* told already */
    journal_error *error = &j->room_errors[j->room_error_next++ % ROOM_ERRORS_KEPT];
    char name[32];
    segment_name(name, first);
    journal_fail_host(error, result, name, "make the next segment");
    error->status = JOURNAL_E_NO_ROOM;
    error->sequence = first;
    const journal_error *none = NULL;
    atomic_compare_exchange_strong(&j->failure, &none, error);
}

static void keep_room_again(journal *j) {
    atomic_store(&j->next_status, JOURNAL_WAIT);
    const journal_error *failure = atomic_load(&j->failure);
    if (failure != NULL && failure != &j->sync_error) atomic_compare_exchange_strong(&j->failure, &failure, NULL);
}

static bool keep_prepare(journal *j) {
    uint64_t records = j->maker.segment_records;
    uint64_t written = atomic_load_explicit(&j->state->written, memory_order_acquire);
    uint64_t first = j->newest_first + records;
    if (atomic_load_explicit(&j->next, memory_order_acquire) != NULL) return false;
    if (written < j->newest_first + records / 2 - 1 && !atomic_load(&j->waiting)) return false;
    if ((first - j->kept_first) / records >= SEGMENTS_OPEN_MAX) return false; /* the sync is that far behind: wait */
    uint64_t now_ns = j->host->now_ns(j->host->self);
    bool retry = atomic_load(&j->next_status) == JOURNAL_E_NO_ROOM;
    if (retry && now_ns < j->room_retry_ns && now_ns + ROOM_RETRY_NS >= j->room_retry_ns) return false;
    j->chunk_began_ns = monotonic_ns();
    segment *s = segment_place(j, first);
    int result = segment_open(&j->maker, first, s); /* one that an earlier process prepared: recovery made it empty */
    if (result == -ENOENT) result = segment_make(&j->maker, first, s);
    if (result == -ECANCELED) return false;
    if (result != 0) {
        keep_no_room(j, result, first, now_ns);
        return false;
    }
    uint64_t bytes = segment_bytes(records);
    j->host->prefault(j->host->self, s->at, bytes < PREFAULT_SEGMENT_BYTES ? (size_t)bytes : PREFAULT_SEGMENT_BYTES);
    j->newest_first = first;
    keep_room_again(j);
    atomic_store_explicit(&j->next, s, memory_order_release);
    if (j->options.wake >= 0) j->host->wake(j->host->self, j->options.wake);
    return true;
}

bool background_keep(journal *j) {
    bool marked = keep_mark(j, false);
    bool let_go = keep_let_go(j);
    bool prepared = keep_prepare(j);
    return marked || let_go || prepared;
}

void background_finish(journal *j) {
    while (background_sync(j)) continue;
    background_release(j);
    keep_mark(j, true);
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

static bool stopping(journal *j) { return atomic_load_explicit(&j->stop, memory_order_acquire); }

static void sleep_ns(uint64_t ns) {
    struct timespec length = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}

static void *sync_main(void *self) {
    journal *j = self;
    uint64_t interval_us = j->options.sync_interval_us;
    bool gather = j->options.level == JOURNAL_PROCESS;
    if (gather && interval_us < PROCESS_SYNC_INTERVAL_US) interval_us = PROCESS_SYNC_INTERVAL_US;
    if (j->options.level == JOURNAL_CLUSTER && interval_us > CLUSTER_LOOK_US) interval_us = CLUSTER_LOOK_US;
    while (!stopping(j)) {
        bool synced = background_sync(j);
        background_release(j);
        if (!synced || gather) sleep_ns(interval_us * 1000);
    }
    return NULL;
}

void background_hurry(journal *j) {
    pthread_mutex_lock(&j->mutex);
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->mutex);
}

/* Between two chunks of zeros. The mark does not wait for a whole segment. And the keeper rests as long as it worked,
 * so that groups of records find the disk free half of the time, unless the engine fills its half segment faster than
 * this one fills. */
static bool keeper_pause(void *self, uint64_t done, uint64_t bytes) {
    journal *j = self;
    uint64_t worked_ns = monotonic_ns() - j->chunk_began_ns;
    keep_mark(j, false);
    uint64_t half = j->maker.segment_records / 2;
    uint64_t written = atomic_load_explicit(&j->state->written, memory_order_acquire);
    uint64_t into_half = written - (j->newest_first + half - 1);
    bool behind = into_half <= half && into_half * bytes / half + bytes / 8 > done;
    if (!behind && !atomic_load(&j->waiting) && worked_ns < KEEPER_SLEEP_NS) sleep_ns(worked_ns);
    j->chunk_began_ns = monotonic_ns();
    return stopping(j);
}

static void *keeper_main(void *self) {
    journal *j = self;
    while (!stopping(j)) {
        if (background_keep(j)) continue;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += KEEPER_SLEEP_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&j->mutex);
        if (!stopping(j)) pthread_cond_timedwait(&j->changed, &j->mutex, &until);
        pthread_mutex_unlock(&j->mutex);
    }
    return NULL;
}

/* CPUs are never inherited from an engine thread that is pinned. Nor is its real-time priority, unless acknowledgements
 * wait for this thread: equal priority takes nothing from the engine, and an ordinary thread might never get its
 * turn. */
static int thread_start(const journal *j, pthread_t *thread, void *(*body)(void *), const char *name, bool awaited) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    long count = sysconf(_SC_NPROCESSORS_CONF);
    for (long cpu = 0; cpu < count && cpu < CPU_SETSIZE; cpu++) {
        if (j->options.sync_cpu < 0 || cpu == j->options.sync_cpu) CPU_SET((size_t)cpu, &cpus);
    }
    struct sched_param ordinary = {0};
    pthread_attr_t attributes;
    int result = pthread_attr_init(&attributes);
    if (result != 0) return result;
    pthread_attr_setaffinity_np(&attributes, sizeof cpus, &cpus);
    pthread_attr_setinheritsched(&attributes, awaited ? PTHREAD_INHERIT_SCHED : PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    pthread_attr_setschedparam(&attributes, &ordinary);
    result = pthread_create(thread, &attributes, body, (void *)j);
    pthread_attr_destroy(&attributes);
    if (result == 0) pthread_setname_np(*thread, name);
    return result;
}

int background_start(journal *j) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&j->mutex, NULL);
    pthread_cond_init(&j->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (j->stepped) return 0;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the threads that expect them */
    j->maker.pause = keeper_pause;
    j->maker.self = j;
    int result = thread_start(j, &j->sync_thread, sync_main, "journal-sync", j->options.level != JOURNAL_PROCESS);
    if (result == 0) {
        result = thread_start(j, &j->keeper_thread, keeper_main, "journal-keeper", false);
        if (result != 0) {
            atomic_store(&j->stop, true);
            pthread_join(j->sync_thread, NULL);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

void background_stop(journal *j) {
    if (!j->stepped) {
        atomic_store(&j->stop, true);
        background_hurry(j);
        pthread_join(j->sync_thread, NULL);
        pthread_join(j->keeper_thread, NULL);
    }
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->mutex);
}
