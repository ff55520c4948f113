/* The core and the plain book side by side: each group goes into both, and whatever differs is told.
 *
 *      records ──┬──▶ core (chunks of any size, saved and loaded at times) ──┬──▶ the same answer, the same events,
 *                └──▶ plain book ────────────────────────────────────────────┘    the same digest
 *
 * What the core has no room for (CORE_E_FULL) is left out of the plain book too: the page knows no capacities.
 */
#ifndef IRONBOOK_SIDE_BY_SIDE_H
#define IRONBOOK_SIDE_BY_SIDE_H

#include "engine_node/core/core.h"
#include "plain/plain.h"

typedef struct side_by_side {
    core_options options;
    void *memory;
    core *fast;
    plain *slow;
    bool room_enough;    /* only a definition beyond the capacities may find no room */
    wire_report *events; /* of the core, for the last group */
    uint32_t event_count, event_room;
    core_status status; /* of the last group */
    uint64_t taken, refused, full;
} side_by_side;

void side_open(side_by_side *s, const core_options *options);
void side_close(side_by_side *s);

/* Apply the first group among these to both, handing the core's events out in chunks of `room`. *used says how many
 * records it had; 0: they end in the middle of one. Answers false, and says so on stderr, if the two differ. */
bool side_apply(side_by_side *s, const wire_record *records, uint32_t count, uint32_t room, uint32_t *used);

/* Are the digests the same? If not, stderr names the things that differ. */
bool side_digests_agree(const side_by_side *s);

/* Does the core answer questions (core.h) as the plain book would? What it does not goes to stderr. */
bool side_answers_agree(const side_by_side *s);

/* core_check; what does not hold goes to stderr. */
bool side_check(const side_by_side *s);

/* The core is saved, and a new one loaded from that takes its place. */
bool side_save_and_load(side_by_side *s);

#endif
