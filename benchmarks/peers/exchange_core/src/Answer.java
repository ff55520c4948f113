/** What an engine answered to the timed operations of a flow; benchmarks/support/operations.h says how it is made. */
final class Answer {
    private static final long PRIME = 1099511628211L;

    private long fills;
    private long lots;
    private long notional;
    private long digest = 0xcbf29ce484222325L;

    void fill(long taker, long maker, long price, long quantity) {
        fills++;
        lots += quantity;
        notional += price * quantity;
        digest = (digest ^ taker) * PRIME;
        digest = (digest ^ maker) * PRIME;
        digest = (digest ^ price) * PRIME;
        digest = (digest ^ quantity) * PRIME;
    }

    String json() {
        return String.format(
                "\"fills\": %d, \"lots\": %d, \"notional\": %s, \"digest\": \"%016x\"",
                fills, lots, Long.toUnsignedString(notional), digest);
    }
}
