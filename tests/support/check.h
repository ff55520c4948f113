/* The smallest test runner: a program of functions whose names are sentences.
 *
 *   static void test_water_is_wet(void) { CHECK(wet(water)); CHECK_EQUAL(colour(water), 0); }
 *   int main(void) { RUN(test_water_is_wet); return checks_done(); }
 *
 * A check that does not hold ends the program with its place, what must hold, and for numbers what was found.
 */
#ifndef IRONBOOK_CHECK_H
#define IRONBOOK_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t checks_made; /* threads check too */

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        checks_made++;                                                                                                 \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #holds);                                     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_EQUAL(found, expected)                                                                                   \
    do {                                                                                                               \
        checks_made++;                                                                                                 \
        long long found_ = (long long)(found), expected_ = (long long)(expected);                                      \
        if (found_ != expected_) {                                                                                     \
            fprintf(stderr, "%s:%d: %s must be %lld, was %lld\n", __FILE__, __LINE__, #found, expected_, found_);      \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_TEXT(found, part)                                                                                        \
    do {                                                                                                               \
        checks_made++;                                                                                                 \
        if (strstr((found), (part)) == NULL) {                                                                         \
            fprintf(stderr, "%s:%d: %s must speak of \"%s\", was \"%s\"\n", __FILE__, __LINE__, #found, (part),        \
                    (found));                                                                                          \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        (test)();                                                                                                      \
        printf("ok %s\n", #test);                                                                                      \
        fflush(stdout);                                                                                                \
    } while (0)

static inline int checks_done(void) {
    printf("%" PRIu64 " checks\n", checks_made);
    return 0;
}

#endif
