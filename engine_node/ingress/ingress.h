/* The ingress: signed frames in, reports out. With it the primary is whole. This header is its whole contract.
 *
 *   socket ──▶ receive ──▶ tag ──▶ sequence ──▶ may it? ──▶ core_apply ──▶ journal_append ──▶ … next frame
 *                          (a whole burst: one clock read, one journal_publish)                  │
 *   socket ◀── writev, straight from the core's ring of reports, as far as the journal released ◀┘
 *
 * An ingress owns one core and one journal and is the only writer of both. It opens no socket and waits for nothing:
 * an event loop tells it which socket is ready, and it tells the loop by three callbacks what to do. What a client sees
 * is written in schemas/wire/ingress.md.
 *
 * Threads: none; everything belongs to the thread of the event loop. Everything outside is reached through `struct
 * host`. All memory that the work needs is taken in ingress_open and returned in ingress_close.
 */
#ifndef IRONBOOK_INGRESS_H
#define IRONBOOK_INGRESS_H

#include <stdbool.h>

#include "../core/core.h"
#include "../host/host.h"
#include "../journal/journal.h"
#include "peers.h"

typedef struct ingress ingress;

/* ---- Status ------------------------------------------------------------------------------------------------------ */

typedef enum ingress_status {
    INGRESS_OK = 0,
    INGRESS_E_OPTIONS,     /* an option is out of range */
    INGRESS_E_MEMORY,      /* the system gave no memory, or no randomness */
    INGRESS_E_SNAPSHOT,    /* the snapshot is damaged or larger than the core's capacities */
    INGRESS_E_JOURNAL,     /* error.journal says what */
    INGRESS_E_REPLAY,      /* the core did not take a record of the journal: error.core says how */
    INGRESS_E_CONNECTIONS, /* every connection slot is taken by a session that has logged on */
    INGRESS_E_PEER,        /* too many bad logons from this address lately */
    INGRESS_E_STOPPED,     /* not recovered yet, stopping, or failed */
} ingress_status;

typedef struct ingress_error {
    ingress_status status;
    core_status core;      /* of INGRESS_E_REPLAY */
    journal_error journal; /* of INGRESS_E_JOURNAL */
    char text[256];        /* a sentence: what must hold, what was found */
    char hint[160];        /* what to do */
} ingress_error;

/* ---- Open -------------------------------------------------------------------------------------------------------- */

#define INGRESS_CONNECTIONS_MAX 65535u
#define INGRESS_REPORTS_KEPT_MIN 256u /* so that a chunk of events never laps a ring */
#define INGRESS_NETWORKS_MAX 16u      /* address ranges of one key */
#define INGRESS_SECRETS_MAX 2u
#define INGRESS_KEY_ID_BYTES 16u
#define INGRESS_SECRET_BYTES 32u
#define INGRESS_RATE_MAX 1000000000u /* messages a second; 0 is no limit */

/* What the loop must do. None of them may call back into the ingress. `code` is a CODE_... of class end; CODE_NONE: the
 * peer closed, or the line broke. */
typedef struct ingress_calls {
    void *self;
    void (*closed)(void *self, int socket, uint16_t code); /* watch the socket no more, and close it */
    void (*want_write)(void *self, int socket,
                       bool wanted);             /* call ingress_writable when it can be written; or don't */
    void (*failed)(void *self, const char *why); /* end the process: nothing more is acknowledged */
} ingress_calls;

typedef struct ingress_options {
    core_options core; /* event_mask is set by the ingress */
    const char *journal_directory;
    uint64_t shard, node;
    uint64_t segment_records;
    uint32_t sync_interval_us;
    int64_t free_bytes_min;
    journal_level level;
    uint64_t unshipped_records_max; /* level cluster: 1 .. 2^40; beyond it commands are refused, cancels beyond twice */
    int sync_cpu;                   /* -1: anywhere; JOURNAL_STEPPED: no threads, ingress_step does their work */
    int wake;                       /* eventfd for the journal to wake the loop with; -1: none */
    uint32_t connection_count_max;  /* 1 .. INGRESS_CONNECTIONS_MAX */
    uint32_t idle_ms;               /* a session that sends nothing for so long is ended */
    uint32_t logon_timeout_ms;      /* a connection that has not logged on by then is closed */
    uint32_t tick_interval_ms;      /* a clock tick so often, while anybody is there or anything happens; 0: none */
    uint32_t digest_interval_records; /* a digest record each so many records; 0: none */
    uint32_t refused_peer_max;        /* bad logons or frames of one address in a minute; 0: never refused */
    ingress_calls calls;
} ingress_options;

/* Take all memory. `host` and what the options point to must stay until ingress_close.
 * fails     INGRESS_E_OPTIONS, INGRESS_E_MEMORY: *out is not set, *error says why. */
ingress_status ingress_open(const ingress_options *options, const host *host, ingress **out, ingress_error *error);

/* What a start found and did; for the log. */
typedef struct ingress_recovery {
    journal_recovery journal;
    uint64_t snapshot_sequence; /* 0: none was given */
    uint64_t replayed_records;
    uint64_t sessions_ended;   /* live when the engine went down */
    uint64_t term;             /* the one that begins */
    uint64_t sequence, digest; /* after all that */
} ingress_recovery;

/* Load the snapshot (NULL: none), open the journal, replay what is behind the snapshot, begin a term, end the
 * sessions that were live.
 *
 * ensures   the first record behind the old ones is the term, then a logoff (restarted) for each live session, released
 *           as the level says; connections can be accepted from here on.
 * fails     INGRESS_E_SNAPSHOT, INGRESS_E_JOURNAL, INGRESS_E_REPLAY: only ingress_close may follow.
 */
ingress_status ingress_recover(ingress *in, const void *snapshot, size_t bytes, ingress_recovery *found,
                               ingress_error *error);

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

typedef struct ingress_key {
    uint32_t number;                  /* 1 .. core.key_count_max - 1 */
    uint8_t id[INGRESS_KEY_ID_BYTES]; /* ASCII, padded with zero bytes */
    uint8_t secrets[INGRESS_SECRETS_MAX][INGRESS_SECRET_BYTES];
    uint32_t secret_count; /* 1 or 2 */
    uint32_t account;
    uint8_t permissions; /* PERMISSION_... */
    network networks[INGRESS_NETWORKS_MAX];
    uint32_t network_count;  /* 0: any address */
    uint32_t messages_per_s; /* 0: no limit */
    uint32_t message_burst;  /* 1 and more where there is a limit */
} ingress_key;

/* Replace the whole table. A session goes on unless its key is gone, has another account, lost a permission, lost the
 * secret that the session was opened with, or no longer allows its address: such a session ends with key_changed.
 *
 * owns      nothing; only the pad states of the secrets are kept.
 * fails     INGRESS_E_OPTIONS: a number or id is out of range or there twice, a count is too large: the old table
 *           stays.
 */
ingress_status ingress_set_keys(ingress *in, const ingress_key *keys, uint32_t count, ingress_error *error);

/* ---- Connections ------------------------------------------------------------------------------------------------- */

/* Take over a connected non-blocking socket. `*connection` names it in the calls below; a name is never used again, and
 * a call with a name whose connection is closed does nothing.
 *
 * units     address: 16 bytes, IPv4 mapped. proxied: a PROXY v2 header with the true address comes first.
 * fails     INGRESS_E_CONNECTIONS, INGRESS_E_PEER, INGRESS_E_STOPPED: the socket stays the caller's, who closes it.
 */
ingress_status ingress_accept(ingress *in, int socket, const uint8_t address[ADDRESS_BYTES], bool proxied,
                              uint64_t *connection);

/* The socket can be read: receive once, up to 64 KiB, and do all that it holds.
 * cost      two SHA-256 compressions, core_apply and a record for each frame; no allocation. */
void ingress_readable(ingress *in, uint64_t connection);

/* The socket can be written (only after want_write(true)). */
void ingress_writable(ingress *in, uint64_t connection);

/* ---- The rest of the loop ---------------------------------------------------------------------------------------- */

void ingress_on_wake(ingress *in);  /* the journal wrote to `wake`: reports were released, or a segment is ready */
void ingress_on_timer(ingress *in); /* every 100 ms or so: time-outs, clock ticks, what could not be journaled before */

/* Only with JOURNAL_STEPPED (simulations, tests): one step of the journal's background work. False: there was nothing
 * to do. */
bool ingress_step(ingress *in);

/* ---- Stop -------------------------------------------------------------------------------------------------------- */

/* From now on commands are refused (engine_stopping), and no connection is accepted. */
void ingress_begin_stop(ingress *in);

/* End all sessions (server_stopping), write a last digest, bring the journal to disk and close it, send what was held
 * back.
 * ensures   bounded: each socket is written to once and then closed, whether or not its peer read everything; at level
 *           cluster what is not shipped within a moment stays recorded and is not told.
 * fails     INGRESS_E_JOURNAL: the last sync failed; some of what was acknowledged at level process may not survive a
 *           loss of power. */
ingress_status ingress_finish(ingress *in, ingress_error *error);

/* Return the memory. Without ingress_finish before it, sockets and sessions are left as a crash would leave them;
 * only the journal's thread is stopped. NULL is allowed. */
void ingress_close(ingress *in);

/* ---- Questions --------------------------------------------------------------------------------------------------- */

/* After ingress_finish: the survival level has passed up to here. A snapshot of later state must not be kept: at level
 * cluster it would speak of records that only this machine has. */
uint64_t ingress_released(const ingress *in);

const core *ingress_core(const ingress *in); /* valid until ingress_close; for core_save only after ingress_finish */

/* Name of the core's pool that a frame was last refused for (core_no_room): an option of core_options; "" if none
 * was. */
const char *ingress_full_pool(const ingress *in);

#define INGRESS_COUNTERS(COUNTER)                                                                                      \
    COUNTER(connections_accepted) /* sockets taken over */                                                             \
    COUNTER(connections_open)     /* now */                                                                            \
    COUNTER(connections_evicted)  /* not logged on, closed because every slot was taken */                             \
    COUNTER(sessions_live)        /* now */                                                                            \
    COUNTER(sessions_begun)                                                                                            \
    COUNTER(sessions_replaced)                                                                                         \
    COUNTER(lines_lost)      /* live sessions whose peer went away */                                                  \
    COUNTER(peers_refused)   /* connections closed at once because of their address */                                 \
    COUNTER(peers_blocked)   /* times that an address came to be refused */                                            \
    COUNTER(proxy_malformed) /* connections without the PROXY header that they must begin with */                      \
    COUNTER(logons_good)                                                                                               \
    COUNTER(logons_malformed) /* magic, unknown option, a byte that must be zero */                                    \
    COUNTER(logons_key_unknown)                                                                                        \
    COUNTER(logons_mac_wrong)                                                                                          \
    COUNTER(logons_address_forbidden)                                                                                  \
    COUNTER(logons_time_outside)                                                                                       \
    COUNTER(logons_nonce_repeated)                                                                                     \
    COUNTER(logons_timed_out)                                                                                          \
    COUNTER(frames)   /* with a right tag */                                                                           \
    COUNTER(commands) /* closed and recorded, refused ones too */                                                      \
    COUNTER(prefixes)                                                                                                  \
    COUNTER(pings)                                                                                                     \
    COUNTER(repeats)                                                                                                   \
    COUNTER(recorded_refusals) /* kind_unknown, kind_forbidden, account_forbidden */                                   \
    COUNTER(refused_journal_no_room)                                                                                   \
    COUNTER(refused_core_no_room)                                                                                      \
    COUNTER(refused_message_rate)                                                                                      \
    COUNTER(refused_stopping)                                                                                          \
    COUNTER(refused_cluster_behind)                                                                                    \
    COUNTER(refused_earlier)                                                                                           \
    COUNTER(ended_frame_refused)                                                                                       \
    COUNTER(ended_sequence_gap)                                                                                        \
    COUNTER(ended_slow_reader)                                                                                         \
    COUNTER(ended_idle)                                                                                                \
    COUNTER(ended_key_changed)                                                                                         \
    COUNTER(ended_prefix_invalid)                                                                                      \
    COUNTER(ended_reports_unavailable)                                                                                 \
    COUNTER(records) /* appended to the journal */                                                                     \
    COUNTER(reports_made)                                                                                              \
    COUNTER(reports_sent)                                                                                              \
    COUNTER(messages_sent)                                                                                             \
    COUNTER(stalls)            /* times that reading stopped until the journal was ready */                            \
    COUNTER(unshipped_records) /* level cluster: appended, and not in the journal topic for all we know: lately */     \
    COUNTER(logoffs_owed)      /* ended sessions whose logoff the journal has no room for yet: now */

typedef struct ingress_counters {
#define COUNTER(name) uint64_t name;
    INGRESS_COUNTERS(COUNTER)
#undef COUNTER
} ingress_counters;

const ingress_counters *ingress_get_counters(const ingress *in);

#endif
