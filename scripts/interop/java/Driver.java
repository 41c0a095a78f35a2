import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;

/**
 * Kafka's Java clients and command-line tools, many calls in one JVM, because a JVM of its own for each costs a second.
 *
 * A request is one line of tab-separated fields, an answer one line "CODE \t STDOUT \t STDERR"; backslash, tab and line
 * end are escaped in both. Requests:
 *   tool CLASS STDIN ARGS...          runs main of a tool; STDIN is what it reads
 *   produce BOOTSTRAP TOPIC CODEC FILE    records, one a line as in ../python/client.py
 *   consume BOOTSTRAP TOPIC               the same lines, with offsets, as standard output
 *   committed BOOTSTRAP TOPIC GROUP...    each group that is answered for, then its offsets: group, partition, offset
 *   dump ARGS...                          DumpLogSegments, without the lines that only show sound batches and records
 */
public final class Driver {
    private static final Duration DEADLINE = Duration.ofSeconds(60);

    /** Thrown where a tool would have ended the JVM. */
    private static final class Exited extends Error {
    }

    /** The code a tool ended with. The first one counts: some catch what is thrown here and then exit again. */
    private static Integer exitCode;

    /** Tools keep the stream they found first (Scala's Console does), so the stream stays and its target changes. */
    private static final class Switch extends OutputStream {
        volatile OutputStream target;

        Switch(OutputStream target) {
            this.target = target;
        }

        @Override public void write(int b) {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override public void write(byte[] bytes, int offset, int length) {
            try {
                target.write(bytes, offset, length);
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        }
    }

    /** Passes on what DumpLogSegments finds, and counts the lines about sound batches and records instead of keeping them. */
    private static final class Findings extends OutputStream {
        final ByteArrayOutputStream kept = new ByteArrayOutputStream();
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        long batches;
        long records;

        @Override public void write(int b) {
            line.write(b);
            if (b != '\n') return;
            String text = line.toString(StandardCharsets.UTF_8);
            if (text.startsWith("| offset: ")) {
                records++;
            } else if (text.startsWith("baseOffset: ") && text.contains(" isvalid: true")) {
                batches++;
            } else {
                kept.writeBytes(line.toByteArray());
            }
            line.reset();
        }
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        Switch out = new Switch(System.err);
        Switch err = new Switch(System.err);
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        InputStream nothing = new ByteArrayInputStream(new byte[0]);
        System.setIn(nothing);
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            ByteArrayOutputStream captured = new ByteArrayOutputStream();
            ByteArrayOutputStream complaints = new ByteArrayOutputStream();
            out.target = captured;
            err.target = complaints;
            int code;
            try {
                code = answer(out, Arrays.stream(line.split("\t", -1)).map(Driver::unescape).toList());
            } catch (Throwable e) {
                e.printStackTrace();
                code = 70;
            }
            System.setIn(nothing);
            System.out.flush();
            System.err.flush();
            answers.print(code + "\t" + escape(captured.toString(StandardCharsets.UTF_8)) + "\t"
                + escape(complaints.toString(StandardCharsets.UTF_8)) + "\n");
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static int answer(Switch out, List<String> request) throws Throwable {
        switch (request.get(0)) {
            case "tool": return tool(request.get(1), request.get(2), request.subList(3, request.size()));
            case "produce": return produce(request.get(1), request.get(2), request.get(3), Path.of(request.get(4)));
            case "consume": return consume(request.get(1), request.get(2));
            case "committed": return committed(request.get(1), request.get(2), request.subList(3, request.size()));
            case "dump": return dump(out, request.subList(1, request.size()));
            default: throw new IllegalArgumentException("unknown request " + request.get(0));
        }
    }

    private static void exit(int code) {
        if (exitCode == null) exitCode = code;
        throw new Exited();
    }

    private static int tool(String name, String stdin, List<String> args) throws Throwable {
        exitCode = null;
        System.setIn(new ByteArrayInputStream(stdin.getBytes(StandardCharsets.UTF_8)));
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) args.toArray(String[]::new));
            return exitCode == null ? 0 : exitCode;
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Exited) return exitCode;
            throw e.getCause();
        }
    }

    private static int dump(Switch out, List<String> args) throws Throwable {
        OutputStream captured = out.target;
        Findings findings = new Findings();
        out.target = findings;
        int code = tool("org.apache.kafka.tools.DumpLogSegments", "", args);
        System.out.flush();
        out.target = captured;
        System.out.print(findings.kept.toString(StandardCharsets.UTF_8));
        System.out.println(findings.batches + " batches, " + findings.records + " records");
        return code;
    }

    private static int produce(String bootstrap, String topic, String codec, Path file) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "compression.type", codec, "linger.ms", 20,
            "max.block.ms", (int) DEADLINE.toMillis(), "max.request.size", 4 << 20);
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<?>> sent = new ArrayList<>();
            for (String line : Files.readAllLines(file)) {
                String[] columns = line.split("\t", -1);
                sent.add(producer.send(new ProducerRecord<>(topic, Integer.parseInt(columns[0]), Long.parseLong(columns[1]),
                    unpack(columns[2]), unpack(columns[3]), headers(columns[4]))));
            }
            for (Future<?> one : sent) one.get();
        }
        return 0;
    }

    private static int consume(String bootstrap, String topic) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false,
            "auto.offset.reset", "none", "fetch.max.wait.ms", 100);
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo info : consumer.partitionsFor(topic)) partitions.add(new TopicPartition(topic, info.partition()));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> left = new HashMap<>(consumer.endOffsets(partitions));
            left.entrySet().removeIf(entry -> consumer.position(entry.getKey()) >= entry.getValue());
            long deadline = System.nanoTime() + DEADLINE.toNanos();
            while (!left.isEmpty()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) System.out.println(format(record));
                left.entrySet().removeIf(entry -> consumer.position(entry.getKey()) >= entry.getValue());
                if (System.nanoTime() > deadline) throw new IllegalStateException("gave up, left: " + left);
            }
        }
        return 0;
    }

    /** One for each broker that was asked: it is asked often. */
    private static final Map<String, Admin> ADMINS = new HashMap<>();

    private static int committed(String bootstrap, String topic, List<String> groups) throws Exception {
        Admin admin = ADMINS.computeIfAbsent(bootstrap, address -> Admin.create(Map.of("bootstrap.servers", address,
            "default.api.timeout.ms", 10_000, "request.timeout.ms", 5_000, "reconnect.backoff.max.ms", 200)));
        for (String group : groups) {
            try {
                Map<TopicPartition, OffsetAndMetadata> offsets =
                    admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
                System.out.println(group);
                offsets.forEach((place, offset) -> {
                    if (place.topic().equals(topic) && offset != null) {
                        System.out.println(group + "\t" + place.partition() + "\t" + offset.offset());
                    }
                });
            } catch (ExecutionException e) {
                System.err.println(group + ": " + e.getCause());
            }
        }
        return 0;
    }

    private static String format(ConsumerRecord<byte[], byte[]> record) {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(pack(header.key().getBytes(StandardCharsets.UTF_8)) + "=" + pack(header.value()));
        }
        return record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t" + pack(record.key()) + "\t"
            + pack(record.value()) + "\t" + (headers.isEmpty() ? "." : String.join(";", headers));
    }

    private static List<Header> headers(String text) {
        List<Header> headers = new ArrayList<>();
        if (text.equals(".")) return headers;
        for (String pair : text.split(";")) {
            String[] sides = pair.split("=");
            headers.add(new RecordHeader(new String(unpack(sides[0]), StandardCharsets.UTF_8), unpack(sides[1])));
        }
        return headers;
    }

    private static byte[] unpack(String text) {
        return text.equals("-") ? null : HexFormat.of().parseHex(text, 1, text.length());
    }

    private static String pack(byte[] bytes) {
        return bytes == null ? "-" : "x" + HexFormat.of().formatHex(bytes);
    }

    private static String escape(String text) {
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
    }

    private static String unescape(String text) {
        StringBuilder plain = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c != '\\' || i + 1 == text.length()) {
                plain.append(c);
                continue;
            }
            char escaped = text.charAt(++i);
            plain.append(escaped == 't' ? '\t' : escaped == 'n' ? '\n' : escaped == 'r' ? '\r' : escaped);
        }
        return plain.toString();
    }
}
