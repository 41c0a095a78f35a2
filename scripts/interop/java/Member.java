import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Kafka's Java client as one member of a consumer group.
 *
 *   Member BOOTSTRAP GROUP TOPIC PROTOCOL ASSIGNOR INSTANCE SESSION_MS
 *
 * Arguments and lines are those of ../python/member.py, and two more. "fenced": another has taken its instance id or holds it
 * still. "ready": with an instance id it waits for a line of input before it joins, so that it can take the place of another
 * within a session timeout, which the start of a JVM may exceed. It is compiled once for each version of the client that is tested.
 */
public final class Member {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final String topic;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private volatile boolean stopped;

    private Member(String topic, Map<String, Object> config) {
        this.topic = topic;
        this.consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    public static void main(String[] args) throws IOException {
        if (args.length != 7) throw new IllegalArgumentException("7 arguments, see the source");
        Member member = new Member(args[2], config(args));
        if (!args[5].equals("-")) {
            // Most of its classes are loaded then.
            member.consumer.partitionsFor(args[2]);
            say("ready");
            if (System.in.read() < 0) return;
        }
        Thread input = new Thread(member::untilInputCloses);
        input.setDaemon(true);
        input.start();
        member.run();
    }

    private static Map<String, Object> config(String[] args) {
        String protocol = args[3];
        String assignor = args[4];
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", args[0], "group.id", args[1],
            "group.protocol", protocol, "enable.auto.commit", false, "auto.offset.reset", "earliest",
            "fetch.min.bytes", 10_000, "fetch.max.wait.ms", 100, "reconnect.backoff.max.ms", 200));
        if (protocol.equals("classic")) {
            config.put("session.timeout.ms", args[6]);
            config.put("heartbeat.interval.ms", 500);
            if (!assignor.equals("-")) config.put("partition.assignment.strategy", ASSIGNORS.get(assignor));
        } else if (!assignor.equals("-")) {
            config.put("group.remote.assignor", assignor);
        }
        if (!args[5].equals("-")) config.put("group.instance.id", args[5]);
        return config;
    }

    private void untilInputCloses() {
        try {
            while (System.in.read() >= 0) { }
        } catch (IOException e) {
            // The same as its end.
        }
        stopped = true;
        consumer.wakeup();
    }

    private void run() {
        consumer.subscribe(List.of(topic), new Told());
        try {
            while (!stopped) step();
        } catch (WakeupException e) {
            // Time to go.
        } catch (FencedInstanceIdException | UnreleasedInstanceIdException e) {
            say("fenced");
        }
        consumer.close();
        say("left");
    }

    private void step() {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
        Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
        for (TopicPartition place : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> some = records.records(place);
            sayRecords(place.partition(), some);
            ends.put(place, new OffsetAndMetadata(some.get(some.size() - 1).offset() + 1));
        }
        if (ends.isEmpty()) return;
        try {
            consumer.commitSync(ends);
            ends.forEach((place, end) -> say("committed " + place.partition() + " " + end.offset()));
        } catch (WakeupException | FencedInstanceIdException e) {
            throw e;
        } catch (KafkaException e) {
            say("trouble " + e.toString().replaceAll("\\s+", " "));
        }
    }

    private static void sayRecords(int partition, List<ConsumerRecord<byte[], byte[]>> records) {
        long first = records.get(0).offset();
        long last = first;
        for (ConsumerRecord<byte[], byte[]> record : records.subList(1, records.size())) {
            if (record.offset() != last + 1) {
                say("records " + partition + " " + first + " " + last);
                first = record.offset();
            }
            last = record.offset();
        }
        say("records " + partition + " " + first + " " + last);
    }

    private final class Told implements ConsumerRebalanceListener {
        @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            sayPartitions("assigned", partitions);
        }

        @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            sayPartitions("revoked", partitions);
        }

        @Override public void onPartitionsLost(Collection<TopicPartition> partitions) {
            sayPartitions("lost", partitions);
        }

        private void sayPartitions(String verb, Collection<TopicPartition> partitions) {
            if (partitions.isEmpty()) return;
            String numbers = partitions.stream().map(TopicPartition::partition).sorted().map(String::valueOf)
                .collect(Collectors.joining(","));
            say(verb + " " + consumer.groupMetadata().generationId() + " " + numbers);
        }
    }

    private static synchronized void say(String words) {
        System.out.println(ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()) + " " + words);
        System.out.flush();
    }
}
