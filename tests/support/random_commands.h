/* Random commands, of all kinds, from a seed: mostly sensible ones, so that books are rich, with a share of nonsense.
 *
 *      random_commands_next ──▶ records ──▶ whoever applies them ──▶ random_commands_taken (what came of each group)
 *
 * The maker of commands has no book of its own: from the events it is told it remembers which orders are open and what
 * is halted, so that cancels find something and halts end. The same seed, profile and answers give the same commands.
 */
#ifndef IRONBOOK_RANDOM_COMMANDS_H
#define IRONBOOK_RANDOM_COMMANDS_H

#include <stdbool.h>

#include "engine_node/core/vocabulary.h"

#define RANDOM_RECORDS_MAX 12 /* records of one call */

/* A kind of market, and what is done to it. */
typedef struct random_profile {
    const char *name;
    uint32_t account_count;
    uint32_t instrument_count;
    uint32_t key_count;
    uint32_t open_orders;       /* about as many are open; above, more is cancelled */
    uint32_t price_span;        /* ticks to both sides of the middle */
    uint32_t quantity_span;     /* lots */
    uint32_t nonsense_permille; /* commands that something is wrong with */
    uint32_t admin_permille;    /* limits, halts, money, definitions */
    uint32_t system_permille;
    uint32_t prefix_permille;
    uint32_t terms_permille; /* new orders with terms */
    uint32_t link_permille;  /* new orders with a link */
    uint32_t round_commands; /* commands on one market, from its definition on */
    uint32_t auction_length; /* commands, about, until one is ended */
    bool limits;             /* accounts and instruments have limits that bite */
    bool huge;               /* prices, quantities and units near their greatest */
    bool poor;               /* funds run out */
    bool tight;              /* the core under test has little room */
} random_profile;

extern const random_profile random_profiles[];
extern const uint32_t random_profile_count;

/* NULL if there is none of that name. */
const random_profile *random_profile_find(const char *name);

typedef struct random_commands random_commands;

/* The digest of the state as it is, for digest records. */
typedef uint64_t (*random_digest)(void *self);

random_commands *random_commands_open(uint64_t seed, const random_profile *profile, random_digest digest, void *self);

/* Decide by these bytes instead, which stay the caller's; when they are used up, all that is drawn is 0. */
void random_commands_decide_by(random_commands *r, const uint8_t *bytes, size_t count);
bool random_commands_decided(const random_commands *r);

void random_commands_close(random_commands *r);

/* One or more groups; returns how many records. */
uint32_t random_commands_next(random_commands *r, wire_record records[RANDOM_RECORDS_MAX]);

/* These records were taken, with these events. */
void random_commands_taken(random_commands *r, const wire_record *records, uint32_t count, const wire_report *events,
                           uint32_t event_count);

/* A number below `bound`, of the same seed. */
uint64_t random_below(random_commands *r, uint64_t bound);

#endif
