/* The bytes on disk: CRC-32C, names, headers, and the worked examples of schemas/wire/journal.md. */
#include "engine_node/journal/crc32c.c" /* both ways of counting, and not only the one that this CPU takes */

#include "tests/engine_node/journal/journal_help.h"

static void test_crc32c_of_known_texts(void) {
    uint8_t zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) rising[i] = (uint8_t)i;
    CHECK_EQUAL(crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_EQUAL(crc32c(0, "", 0), 0);
    CHECK_EQUAL(crc32c(0, zeros, 32), 0x8a9136aa); /* RFC 3720, B.4 */
    CHECK_EQUAL(crc32c(0, ones, 32), 0x62a8ab43);
    CHECK_EQUAL(crc32c(0, rising, 32), 0x46dd794e);
}

static void test_crc32c_goes_on_where_it_stopped(void) {
    uint8_t bytes[200];
    for (int i = 0; i < 200; i++) bytes[i] = (uint8_t)(i * 37);
    uint32_t whole = crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        CHECK(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut) == whole);
    }
}

static void test_the_instruction_and_the_table_agree(void) {
    if (!HAS_INSTRUCTION) printf("   this CPU has no such instruction: the table was compared with itself\n");
    uint8_t bytes[300];
    for (int i = 0; i < 300; i++) bytes[i] = (uint8_t)(i * 71 + 3);
    for (size_t from = 0; from < 16; from++) {
        for (size_t count = 0; count < 270; count++) {
            uint32_t by_word =
                HAS_INSTRUCTION ? by_instruction(1, bytes + from, count) : by_table(1, bytes + from, count);
            CHECK(by_word == by_table(1, bytes + from, count));
        }
    }
    for (uint64_t content = 0; content < 1000; content++) {
        wire_record record = tick(content * 0x9e3779b97f4a7c15ull);
        uint32_t by_word = HAS_INSTRUCTION ? record_by_instruction((uint32_t)content, &record) : 0;
        CHECK(!HAS_INSTRUCTION || by_word == record_by_table((uint32_t)content, &record));
    }
}

static void test_a_record_vouches_for_the_one_before_it_and_for_each_of_its_bytes(void) {
    wire_record record = tick(5);
    uint32_t crc = journal_record_crc(77, &record);
    CHECK(journal_record_crc(78, &record) != crc);
    for (size_t byte = 0; byte < sizeof record; byte++) {
        wire_record other = record;
        ((uint8_t *)&other)[byte] ^= 1;
        bool is_crc = byte >= offsetof(wire_record, crc) && byte < offsetof(wire_record, received_ns);
        CHECK((journal_record_crc(77, &other) == crc) == is_crc);
    }
}

static void test_names_of_segments(void) {
    char name[32];
    segment_name(name, 4097);
    CHECK(strcmp(name, "00000000000000004097.jnl") == 0);
    CHECK_EQUAL(segment_name_first(name), 4097);
    static const char *others[] = {"",
                                   "journal.state",
                                   "4097.jnl",
                                   "00000000000000000000.jnl",
                                   "00000000000000004097.jnl2",
                                   "0000000000000000409x.jnl",
                                   "00000000000000004097.tmp",
                                   "99999999999999999999.jnl",
                                   "18446744073709551617.jnl",
                                   "0000000000000000000a"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) CHECK_EQUAL(segment_name_first(others[i]), 0);
}

/* ---- schemas/wire/journal.md ------------------------------------------------------------------------------------- */

/* The bytes of the block that opens with ```hex `label`. */
static size_t example(const char *label, uint8_t *to, size_t room) {
    FILE *page = fopen("schemas/wire/journal.md", "r");
    CHECK(page != NULL); /* ctest runs from the root of the tree */
    char line[1024], opening[64];
    snprintf(opening, sizeof opening, "```hex %s\n", label);
    size_t bytes = 0;
    bool inside = false, found = false;
    while (fgets(line, sizeof line, page) != NULL) {
        if (strcmp(line, opening) == 0) {
            inside = found = true;
        } else if (strcmp(line, "```\n") == 0) {
            inside = false;
        } else if (inside) {
            char *at = line;
            for (char *end; bytes < room; bytes++, at = end) {
                unsigned long value = strtoul(at, &end, 16);
                if (end == at) break;
                to[bytes] = (uint8_t)value;
            }
        }
    }
    fclose(page);
    CHECK(found);
    return bytes;
}

static void test_the_example_of_a_segment_header(void) {
    segment_header header, made;
    CHECK_EQUAL(example("segment_header", (uint8_t *)&header, sizeof header), sizeof header);
    CHECK(segment_header_check(&header, 7, 4096, 4097) == NULL);
    CHECK_EQUAL(header.seed, 0x11223344);
    segment_header_make(&made, 7, 4096, 4097, 0x11223344);
    CHECK(memcmp(&made, &header, sizeof made) == 0);
}

static void test_the_example_of_a_chain(void) {
    wire_record records[2];
    CHECK_EQUAL(example("chain", (uint8_t *)records, sizeof records), sizeof records);
    CHECK_EQUAL(records[0].command[0], KIND_CLOCK_TICK);
    CHECK_EQUAL(records[0].received_ns, 1000);
    CHECK_EQUAL(records[1].command[0], KIND_TERM);
    CHECK_EQUAL(records[1].received_ns, 1001);
    CHECK_EQUAL(journal_record_crc(0, &records[0]), records[0].crc);
    CHECK_EQUAL(journal_record_crc(records[0].crc, &records[1]), records[1].crc);
}

static void test_the_example_of_the_shared_page(void) {
    static state_page page;
    uint8_t *bytes = (uint8_t *)&page;
    example("state 0", bytes, 80);
    example("state 512", bytes + 512, 16);
    example("state 576", bytes + 576, 8);
    example("state 640", bytes + 640, 8);
    example("state 704", bytes + 704, 8);
    example("state 768", bytes + 768, 8);
    example("state 4096", bytes + 4096, 64);
    CHECK(state_header_check(&page.header) == NULL);
    CHECK_EQUAL(page.header.level, JOURNAL_DISK);
    CHECK_EQUAL(page.header.shard, 7);
    CHECK_EQUAL(page.header.segment_records, 4096);
    CHECK_EQUAL(page.header.replica_options_bytes, 4);
    CHECK(memcmp(page.header.replica_options, "\1\2\3\4", 4) == 0);
    CHECK_EQUAL(page.process, 4242);
    CHECK_EQUAL(page.opened_ns, 1000000000000000000);
    CHECK_EQUAL(page.written, 300);
    CHECK_EQUAL(page.durable, 200);
    CHECK_EQUAL(page.released, 200);
    CHECK_EQUAL(page.shipped, 170);
    CHECK(state_mark_check(&page.mark) == NULL);
    CHECK_EQUAL(page.mark.durable, 150);
    CHECK_EQUAL(page.mark.recorded_ns, 1000000000100000000);
}

static void test_each_misfit_of_a_header_has_a_sentence(void) {
    segment_header good, bad;
    segment_header_make(&good, 7, 4096, 4097, 1);
    memset(&bad, 0, sizeof bad);
    CHECK_TEXT(segment_header_check(&bad, 7, 4096, 4097), "all zeros");
    bad = good;
    bad.magic[0] ^= 1;
    CHECK_TEXT(segment_header_check(&bad, 7, 4096, 4097), "magic");
    bad = good;
    bad.seed ^= 1;
    CHECK_TEXT(segment_header_check(&bad, 7, 4096, 4097), "CRC");
    bad = good;
    bad.version = 2;
    bad.crc = crc32c(0, &bad, offsetof(segment_header, crc));
    CHECK_TEXT(segment_header_check(&bad, 7, 4096, 4097), "version");
    bad = good;
    bad.record_bytes = 128;
    bad.crc = crc32c(0, &bad, offsetof(segment_header, crc));
    CHECK_TEXT(segment_header_check(&bad, 7, 4096, 4097), "64 bytes");
    CHECK_TEXT(segment_header_check(&good, 8, 4096, 4097), "shard");
    CHECK_TEXT(segment_header_check(&good, 7, 8192, 4097), "records");
    CHECK_TEXT(segment_header_check(&good, 7, 4096, 8193), "name");
}

int main(void) {
    RUN(test_crc32c_of_known_texts);
    RUN(test_crc32c_goes_on_where_it_stopped);
    RUN(test_the_instruction_and_the_table_agree);
    RUN(test_a_record_vouches_for_the_one_before_it_and_for_each_of_its_bytes);
    RUN(test_names_of_segments);
    RUN(test_the_example_of_a_segment_header);
    RUN(test_the_example_of_a_chain);
    RUN(test_the_example_of_the_shared_page);
    RUN(test_each_misfit_of_a_header_has_a_sentence);
    return checks_done();
}
