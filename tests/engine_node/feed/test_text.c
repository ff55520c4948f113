/* Numbers, texts and partitions: what the feed writes them as. */
#include "engine_node/feed/text.h"
#include "support/check.h"

static char text[1024];

static const char *scaled(wide numerator, wide denominator, int64_t count) {
    const scale s = scale_of(numerator, denominator);
    *put_scaled(text, &s, count) = 0;
    return text;
}

static wide power_of_ten(uint32_t exponent) {
    wide v = 1;
    while (exponent-- > 0) v *= 10;
    return v;
}

#define CHECK_SAME(found, expected) CHECK(strcmp((found), (expected)) == 0)

static void test_a_step_has_as_many_digits_as_it_needs(void) {
    CHECK_SAME(scaled(1, 100, 6001000), "60010.00");
    CHECK_SAME(scaled(1, 100, 0), "0.00");
    CHECK_SAME(scaled(1, 4, 3), "0.75");
    CHECK_SAME(scaled(5, 1, 7), "35");
    CHECK_SAME(scaled(50, 10, 7), "35");
    CHECK_SAME(scaled(1, power_of_ten(18), 1), "0.000000000000000001");
    CHECK_SAME(scaled(1, power_of_ten(18), INT64_MAX), "9.223372036854775807");
    CHECK_SAME(scaled(1, 100, -5), "-0.05");
    CHECK_SAME(scaled(1, 1, INT64_MIN), "-9223372036854775808");
}

static void test_a_step_without_an_end_is_a_fraction_of_one_denominator(void) {
    CHECK_SAME(scaled(1, 3, 5), "5/3");
    CHECK_SAME(scaled(2, 6, 6), "6/3");
    CHECK_SAME(scaled(1, 3, 0), "0/3");
    CHECK_SAME(scaled(power_of_ten(18), 7 * power_of_ten(20), -2), "-2/700");
}

static void test_the_greatest_and_the_finest_steps_are_exact(void) {
    const int64_t most = (1ll << 48) - 1;
    CHECK_SAME(scaled((wide)(1ull << 40) * power_of_ten(18), 1, most), "309485009821343969213153280000000000000000000");
    CHECK_SAME(scaled((1ull << 40) - 1, (wide)(1ull << 40) * power_of_ten(18), most),
               "0.0002814749767103990000000000009094947017729282379150390625");
    CHECK_SAME(scaled(1, (wide)(1ull << 40) * power_of_ten(18), 0),
               "0.0000000000000000000000000000000000000000000000000000000000");
    CHECK_SAME(scaled((wide)(1ull << 40) * power_of_ten(18), 3, most),
               "309485009821343969213153280000000000000000000/3");
    CHECK_SAME(scaled(999999999999999999ull, 1, INT64_MAX), "9223372036854775797776627963145224193");
}

static void test_amounts_have_the_digits_of_their_asset(void) {
    *put_amount(text, -12002000, 6) = 0;
    CHECK_SAME(text, "-12.002000");
    *put_amount(text, INT64_MIN, 18) = 0;
    CHECK_SAME(text, "-9.223372036854775808");
    *put_amount(text, 7, 0) = 0;
    CHECK_SAME(text, "7");
    *put_amount(text, 0, 3) = 0;
    CHECK_SAME(text, "0.000");
}

static void test_whole_numbers_of_every_length(void) {
    char expected[32];
    for (uint64_t v = 0, step = 1; v < UINT64_MAX / 11; step = v * 2 + 1, v += step) {
        for (uint64_t near = v < 2 ? 0 : v - 2; near <= v + 2; near++) {
            *put_unsigned(text, near) = 0;
            snprintf(expected, sizeof expected, "%" PRIu64, near);
            CHECK_SAME(text, expected);
        }
    }
    *put_unsigned(text, UINT64_MAX) = 0;
    CHECK_SAME(text, "18446744073709551615");
    *put_signed(text, INT64_MIN) = 0;
    CHECK_SAME(text, "-9223372036854775808");
}

static const char *escaped(const char *bytes, size_t count) {
    *put_escaped(text, (const uint8_t *)bytes, count) = 0;
    return text;
}

static void test_a_text_is_valid_utf8_whatever_its_bytes_are(void) {
    CHECK_SAME(escaped("a\"b\\c\n\x01", 7), "a\\\"b\\\\c\\u000a\\u0001");
    CHECK_SAME(escaped("h\xc3\xa9", 3), "h\xc3\xa9");
    CHECK_SAME(escaped("\xff", 1), "\xef\xbf\xbd");
    CHECK_SAME(escaped("\xe2\x82", 2), "\xef\xbf\xbd");
    CHECK_SAME(escaped("\xe2\x82z", 3), "\xef\xbf\xbdz");
    CHECK_SAME(escaped("\xc0\xaf", 2), "\xef\xbf\xbd\xef\xbf\xbd");
    CHECK_SAME(escaped("\xed\xa0\x80", 3), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    CHECK_SAME(escaped("\xf4\x8f\xbf\xbf", 4), "\xf4\x8f\xbf\xbf");
}

static void test_partitions_are_those_of_the_java_client(void) {
    CHECK_EQUAL(partition_of("1", 1, 0x80000000), 154038159);
    CHECK_EQUAL(partition_of("42", 2, 0x80000000), 417700972);
    CHECK_EQUAL(partition_of("BTC/USD", 7, 0x80000000), 914443021);
    CHECK_EQUAL(partition_of("", 0, 0x80000000), 275646681);
}

int main(void) {
    RUN(test_a_step_has_as_many_digits_as_it_needs);
    RUN(test_a_step_without_an_end_is_a_fraction_of_one_denominator);
    RUN(test_the_greatest_and_the_finest_steps_are_exact);
    RUN(test_amounts_have_the_digits_of_their_asset);
    RUN(test_whole_numbers_of_every_length);
    RUN(test_a_text_is_valid_utf8_whatever_its_bytes_are);
    RUN(test_partitions_are_those_of_the_java_client);
    return checks_done();
}
