import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;

/** A flow file in arrays, one place an operation; benchmarks/support/operations.h has the format. */
final class Flow {
    static final byte LIMIT = 1;
    static final byte IMMEDIATE = 2;
    static final byte CANCEL = 3;
    static final byte REDUCE = 4;
    static final byte BUY = 1;

    private static final int HEADER_BYTES = 64;
    private static final int OPERATION_BYTES = 48;

    final int count;
    final int preload;
    final int instruments;
    final int accounts;
    final long[] id;
    final long[] price;
    final long[] lots; // of a reduce: by how many, as this engine wants it
    final int[] instrument;
    final int[] account;
    final byte[] kind;
    final byte[] side;

    Flow(Path path) throws IOException {
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
            ByteBuffer in = file.map(FileChannel.MapMode.READ_ONLY, 0, file.size()).order(ByteOrder.LITTLE_ENDIAN);
            byte[] magic = new byte[8];
            in.get(magic);
            count = (int) in.getLong(8);
            preload = (int) in.getLong(16);
            if (!new String(magic).equals("IBFLOW01") || file.size() != HEADER_BYTES + (long) count * OPERATION_BYTES) {
                throw new IOException(path + " must be a whole flow file");
            }
            instruments = in.getInt(24);
            accounts = in.getInt(28);
            id = new long[count];
            price = new long[count];
            lots = new long[count];
            instrument = new int[count];
            account = new int[count];
            kind = new byte[count];
            side = new byte[count];
            for (int i = 0; i < count; i++) {
                int at = HEADER_BYTES + i * OPERATION_BYTES;
                id[i] = in.getLong(at);
                price[i] = in.getLong(at + 8);
                lots[i] = in.getLong(at + 16);
                instrument[i] = in.getInt(at + 24);
                account[i] = in.getInt(at + 28);
                kind[i] = in.get(at + 32);
                side[i] = in.get(at + 33);
            }
        }
        totalsToReductions();
    }

    /** A flow says the new total of an order, exchange-core by how many lots it falls. */
    private void totalsToReductions() {
        Map<Long, Long> totals = new java.util.HashMap<>();
        boolean[] reduced = new boolean[count + 1];
        for (int i = 0; i < count; i++) {
            if (kind[i] == REDUCE) {
                reduced[(int) id[i]] = true;
            }
        }
        for (int i = 0; i < count; i++) {
            if (kind[i] == LIMIT && reduced[(int) id[i]]) {
                totals.put(id[i], lots[i]);
            } else if (kind[i] == REDUCE) {
                long total = lots[i];
                lots[i] = totals.put(id[i], total) - total;
            }
        }
    }
}
