import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.Crc32C;

/**
 * Record batches by Apache Kafka's own classes.
 *
 * "write DIR SEED small|large": writes DIR/java.batches, batches of every codec and kind, and DIR/java.txt, what was put into them.
 * "read FILE": checks every batch of FILE and prints what its classes find in it, in the same words.
 */
public class BatchOracle {
    private static final long NOW = 1_750_000_000_123L;

    private final Random random;
    private final ByteBufferOutputStream log = new ByteBufferOutputStream(1 << 20);
    private final StringBuilder text = new StringBuilder();
    private long offset = 0;

    private BatchOracle(long seed) {
        random = new Random(seed);
    }

    public static void main(String[] args) throws IOException {
        if (args[0].equals("read")) {
            read(Path.of(args[1]));
        } else {
            new BatchOracle(Long.parseLong(args[2])).write(Path.of(args[1]), args[3].equals("large"));
        }
    }

    // --- reading

    private static void read(Path file) throws IOException {
        StringBuilder out = new StringBuilder();
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        int bytes = 0;
        for (RecordBatch batch : records.batches()) {
            batch.ensureValid();
            bytes += batch.sizeInBytes();
            out.append(head(batch.baseOffset(), batch.lastOffset(), batch.partitionLeaderEpoch(), batch.compressionType().name,
                batch.timestampType(), batch.isTransactional(), batch.isControlBatch(), batch.deleteHorizonMs().orElse(-1),
                batch.producerId(), batch.producerEpoch(), batch.baseSequence(), batch.lastSequence(), batch.maxTimestamp(), batch.countOrNull()));
            for (Record record : batch) {
                record.ensureValid();
                String kind = batch.isControlBatch() ? ControlRecordType.parse(record.key()).name() : "-";
                out.append(line(record.offset(), record.timestamp(), array(record.key()), array(record.value()), record.headers(), kind));
            }
        }
        if (bytes != records.sizeInBytes())
            throw new IllegalStateException("only " + bytes + " of " + records.sizeInBytes() + " bytes are batches");
        System.out.print(out);
    }

    private static byte[] array(ByteBuffer buffer) {
        if (buffer == null)
            return null;
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    // --- the words

    private static String head(long base, long last, int epoch, String codec, TimestampType type, boolean transactional, boolean control,
                               long horizon, long pid, short pidEpoch, int sequence, int lastSequence, long max, int count) {
        return "batch base=" + base + " last=" + last + " epoch=" + epoch + " codec=" + codec + " time=" + type.name
            + " txn=" + transactional + " control=" + control + " horizon=" + horizon + " pid=" + pid + "/" + pidEpoch
            + " seq=" + sequence + ".." + lastSequence + " max=" + max + " count=" + count + "\n";
    }

    private static String line(long offset, long timestamp, byte[] key, byte[] value, Header[] headers, String kind) {
        StringBuilder out = new StringBuilder();
        out.append(offset).append(' ').append(timestamp).append(' ').append(words(key)).append(' ').append(words(value)).append(' ').append(kind);
        for (Header header : headers)
            out.append(' ').append(words(header.key().getBytes(StandardCharsets.UTF_8))).append(':').append(words(header.value()));
        return out.append('\n').toString();
    }

    /** Short bytes in hexadecimal, long ones as length and CRC-32C. */
    private static String words(byte[] bytes) {
        if (bytes == null)
            return "null";
        if (bytes.length <= 24)
            return "x" + HexFormat.of().formatHex(bytes);
        return bytes.length + "#" + String.format("%08x", Crc32C.compute(bytes, 0, bytes.length));
    }

    // --- writing

    private record Input(long offset, long timestamp, byte[] key, byte[] value, Header[] headers) { }

    private void write(Path dir, boolean large) throws IOException {
        List<Compression> codecs = new ArrayList<>(List.of(Compression.NONE, Compression.gzip().build(), Compression.snappy().build(),
            Compression.lz4().build(), Compression.zstd().build()));
        if (large) {
            codecs.addAll(List.of(Compression.gzip().level(1).build(), Compression.gzip().level(9).build(),
                Compression.lz4().level(1).build(), Compression.lz4().level(17).build(),
                Compression.zstd().level(-5).build(), Compression.zstd().level(19).build(), Compression.zstd().level(22).build()));
        }
        for (Compression codec : codecs) {
            batch(codec, TimestampType.CREATE_TIME, -1, (short) -1, -1, false, -1, odd());
            batch(codec, TimestampType.LOG_APPEND_TIME, -1, (short) -1, -1, false, -1, odd());
            batch(codec, TimestampType.CREATE_TIME, 4711, (short) 3, 7, false, -1, many(large ? 2000 : 60));
            batch(codec, TimestampType.CREATE_TIME, 1L << 40, (short) 0, Integer.MAX_VALUE - 1, true, -1, many(5));
            batch(codec, TimestampType.CREATE_TIME, -1, (short) -1, -1, false, NOW - 99, gaps());
            batch(codec, TimestampType.CREATE_TIME, -1, (short) -1, -1, false, -1, wide(large ? 300_000 : codec == Compression.NONE ? 2_000 : 70_000, false));
            if (large)
                batch(codec, TimestampType.CREATE_TIME, -1, (short) -1, -1, false, -1, wide(300_000, true));
        }
        control();
        empty();
        ByteBuffer written = log.buffer().duplicate();
        written.flip();
        Files.write(dir.resolve("java.batches"), array(written));
        Files.writeString(dir.resolve("java.txt"), text);
    }

    private void batch(Compression codec, TimestampType type, long pid, short pidEpoch, int sequence, boolean transactional,
                       long horizon, List<Input> inputs) {
        int epoch = random.nextInt(1000);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(log, RecordBatch.CURRENT_MAGIC_VALUE, codec, type, offset, NOW, pid,
            pidEpoch, sequence, transactional, false, epoch, 1 << 30, horizon);
        StringBuilder lines = new StringBuilder();
        boolean appendTime = type == TimestampType.LOG_APPEND_TIME;
        long max = appendTime ? NOW : -1;
        for (Input in : inputs) {
            builder.appendWithOffset(in.offset, in.timestamp, in.key, in.value, in.headers);
            lines.append(line(in.offset, appendTime ? NOW : in.timestamp, in.key, in.value, in.headers, "-"));
            max = Math.max(max, in.timestamp);
        }
        builder.close();
        long last = inputs.get(inputs.size() - 1).offset;
        int lastSequence = sequence < 0 ? -1 : (int) ((sequence + (last - offset)) % (1L << 31));
        text.append(head(offset, last, epoch, codec.type().name, type, transactional, false, horizon, pid, pidEpoch, sequence,
            lastSequence, max, inputs.size())).append(lines);
        offset = last + 1;
    }

    /** Null and empty keys and values, headers of all sorts, timestamps that go back, and none. */
    private List<Input> odd() {
        Header[] headers = {new RecordHeader("a", bytes(3)), new RecordHeader("", null), new RecordHeader("größe", new byte[0])};
        return List.of(
            new Input(offset, NOW, null, bytes(10), Record.EMPTY_HEADERS),
            new Input(offset + 1, NOW - 86_400_000L, bytes(1), null, headers),
            new Input(offset + 2, NOW - 1, new byte[0], new byte[0], Record.EMPTY_HEADERS),
            new Input(offset + 3, -1, null, null, new Header[] {new RecordHeader("k", bytes(200))}),
            new Input(offset + 4, 0, bytes(63), bytes(64), Record.EMPTY_HEADERS));
    }

    private List<Input> many(int count) {
        List<Input> inputs = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] key = random.nextInt(4) == 0 ? null : ("key-" + random.nextInt(50)).getBytes(StandardCharsets.UTF_8);
            byte[] value = ("value " + i + " ").repeat(random.nextInt(30)).getBytes(StandardCharsets.UTF_8);
            Header[] headers = random.nextInt(5) == 0 ? new Header[] {new RecordHeader("h", bytes(2))} : Record.EMPTY_HEADERS;
            inputs.add(new Input(offset + i, NOW + random.nextInt(1000) - 500, key, value, headers));
        }
        return inputs;
    }

    /** As compaction leaves them: records are missing between the others. */
    private List<Input> gaps() {
        List<Input> inputs = new ArrayList<>();
        for (int i = 1; i < 6; i++)
            inputs.add(new Input(offset + i * i, NOW + i, bytes(4), bytes(20), Record.EMPTY_HEADERS));
        return inputs;
    }

    /** Records larger than any buffer or block on the way. */
    private List<Input> wide(int size, boolean noise) {
        byte[] value = new byte[size];
        if (noise)
            random.nextBytes(value);
        Header[] headers = {new RecordHeader("wide", value), new RecordHeader("end", bytes(1))};
        return List.of(
            new Input(offset, NOW, bytes(8), value, Record.EMPTY_HEADERS),
            new Input(offset + 1, NOW + 1, value, bytes(8), Record.EMPTY_HEADERS),
            new Input(offset + 2, NOW + 2, null, null, headers));
    }

    private void control() {
        marker(ControlRecordType.COMMIT, new EndTransactionMarker(ControlRecordType.COMMIT, 5));
        marker(ControlRecordType.ABORT, new EndTransactionMarker(ControlRecordType.ABORT, 0));
        raft(ControlRecordType.LEADER_CHANGE, b -> b.appendLeaderChangeMessage(NOW, new LeaderChangeMessage().setVersion((short) 0)
            .setLeaderId(1).setVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)))
            .setGrantingVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)))));
        raft(ControlRecordType.SNAPSHOT_HEADER, b -> b.appendSnapshotHeaderMessage(NOW, new SnapshotHeaderRecord().setLastContainedLogTimestamp(NOW)));
        raft(ControlRecordType.SNAPSHOT_FOOTER, b -> b.appendSnapshotFooterMessage(NOW, new SnapshotFooterRecord()));
        raft(ControlRecordType.KRAFT_VERSION, b -> b.appendKRaftVersionMessage(NOW, new KRaftVersionRecord().setKRaftVersion((short) 1)));
    }

    private void marker(ControlRecordType kind, EndTransactionMarker marker) {
        ByteBuffer buffer = ByteBuffer.allocate(1000);
        MemoryRecords.writeEndTransactionalMarker(buffer, offset, NOW, 9, 4711, (short) 3, marker);
        buffer.flip();
        byte[] value = array(marker.serializeValue());
        log.write(buffer);
        text.append(head(offset, offset, 9, "none", TimestampType.CREATE_TIME, true, true, -1, 4711, (short) 3, -1, -1, NOW, 1));
        text.append(line(offset, NOW, new byte[] {0, 0, 0, (byte) kind.ordinal()}, value, Record.EMPTY_HEADERS, kind.name()));
        offset++;
    }

    private void raft(ControlRecordType kind, java.util.function.Consumer<MemoryRecordsBuilder> append) {
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(log, RecordBatch.CURRENT_MAGIC_VALUE, Compression.NONE, TimestampType.CREATE_TIME,
            offset, NOW, -1, (short) -1, -1, false, true, 2, 1 << 30);
        append.accept(builder);
        byte[] value = array(builder.build().records().iterator().next().value());
        text.append(head(offset, offset, 2, "none", TimestampType.CREATE_TIME, false, true, -1, -1, (short) -1, -1, -1, NOW, 1));
        text.append(line(offset, NOW, new byte[] {0, 0, 0, (byte) kind.ordinal()}, value, Record.EMPTY_HEADERS, kind.name()));
        offset++;
    }

    /** What compaction keeps of a producer's last batch. */
    private void empty() {
        ByteBuffer buffer = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(buffer, RecordBatch.CURRENT_MAGIC_VALUE, 4711, (short) 3, 12, offset, offset + 9, 4,
            TimestampType.CREATE_TIME, NOW, false, false);
        buffer.flip();
        log.write(buffer);
        text.append(head(offset, offset + 9, 4, "none", TimestampType.CREATE_TIME, false, false, -1, 4711, (short) 3, 12, 21, NOW, 0));
        offset += 10;
    }

    private byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        random.nextBytes(bytes);
        return bytes;
    }
}
