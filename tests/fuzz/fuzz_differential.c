/* Commands made from bytes, into the core and into the plain second book.
 *
 * The input decides what the maker of random commands (tests/support/random_commands.h) would else draw: the first
 * byte the profile, the others all that follows. After every group the answers, the events and the digests must be the
 * same, and core_check must find nothing.
 */
#include "support/check.h"
#include "support/random_commands.h"
#include "support/readable.h"
#include "support/side_by_side.h"

#define COMMANDS_MAX 400
#define CHECK_EVERY 8

static const core_options options = {.asset_count_max = 5,
                                     .instrument_count_max = 5,
                                     .account_count_max = 10,
                                     .key_count_max = 7,
                                     .order_count_max = 48,
                                     .extra_count_max = 24,
                                     .level_count_max = 32,
                                     .ladder_count_max = 96,
                                     .balance_count_max = 40,
                                     .position_count_max = 30,
                                     .nonce_count_max = 16,
                                     .reports_kept = 8,
                                     .event_mask = CORE_EVENTS_ALL,
                                     .nonce_window_ns = 1000000000};

static uint64_t slow_digest(void *self) { return plain_digest(((side_by_side *)self)->slow); }

static void apply(side_by_side *s, random_commands *r, uint32_t commands) {
    wire_record records[RANDOM_RECORDS_MAX];
    const uint32_t count = random_commands_next(r, records);
    for (uint32_t at = 0, used = 0; at < count; at += used) {
        const bool same = side_apply(s, records + at, count - at, CORE_EVENTS_CHUNK_MIN, &used) &&
                          side_digests_agree(s) && (commands % CHECK_EVERY != 0 || side_check(s));
        for (uint32_t i = at; !same && i < count; i++) print_record(stderr, &records[i]);
        CHECK(same);
        if (used == 0) return;
        if (s->status == CORE_OK) random_commands_taken(r, records + at, used, s->events, s->event_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    random_profile profile = random_profiles[data[0] % random_profile_count];
    if (profile.open_orders > 40) profile.open_orders = 40;
    profile.nonsense_permille = 100;
    side_by_side s;
    side_open(&s, &options);
    random_commands *r = random_commands_open(data[0], &profile, slow_digest, &s);
    for (int i = 0; i < 40; i++) apply(&s, r, 1); /* the market is defined by the seed alone */
    random_commands_decide_by(r, data + 1, size - 1);
    for (uint32_t commands = 0; !random_commands_decided(r) && commands < COMMANDS_MAX; commands++)
        apply(&s, r, commands);
    CHECK(side_check(&s) && side_save_and_load(&s) && side_digests_agree(&s));
    random_commands_close(r);
    side_close(&s);
    return 0;
}
