import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataDelta;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataImage;
import org.apache.kafka.coordinator.group.Utils;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.MemberAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * Apache Kafka's assignors, metadata hashes and regular expressions, a line of input each:
 *   uniform|range TAB homogeneous|heterogeneous TAB topic:size,... TAB member;instance;topic,...;topic=partition,...+...  ...
 *   hash TAB name=id=rack+rack/rack/... ...
 *   regex TAB pattern TAB name
 */
public class GroupOracle {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] fields = line.split("\t", -1);
            String answer = switch (fields[0]) {
                case "hash" -> hash(fields[1]);
                case "regex" -> regex(fields[1], fields[2]);
                default -> assign(fields);
            };
            out.append(answer).append('\n');
        }
        System.out.print(out);
    }

    static String assign(String[] fields) {
        Map<Uuid, Integer> sizes = new HashMap<>();
        for (String topic : list(fields[2], ",")) {
            String[] parts = topic.split(":");
            sizes.put(id(parts[0]), Integer.parseInt(parts[1]));
        }
        Map<String, MemberSubscriptionAndAssignmentImpl> members = new TreeMap<>();
        Map<Uuid, Map<Integer, String>> inverted = new HashMap<>();
        for (String member : list(fields[3], " ")) {
            String[] parts = member.split(";", -1);
            Set<Uuid> topics = new TreeSet<>();
            for (String topic : list(parts[2], ",")) topics.add(id(topic));
            Map<Uuid, Set<Integer>> target = new TreeMap<>();
            for (String topic : list(parts[3], "\\+")) {
                String[] pair = topic.split("=");
                Set<Integer> partitions = new TreeSet<>();
                for (String partition : list(pair[1], ",")) {
                    partitions.add(Integer.parseInt(partition));
                    inverted.computeIfAbsent(id(pair[0]), k -> new HashMap<>()).put(Integer.parseInt(partition), parts[0]);
                }
                target.put(id(pair[0]), partitions);
            }
            Optional<String> instance = parts[1].isEmpty() ? Optional.empty() : Optional.of(parts[1]);
            members.put(parts[0], new MemberSubscriptionAndAssignmentImpl(
                Optional.empty(), instance, topics, new Assignment(target)));
        }
        SubscriptionType type = SubscriptionType.valueOf(fields[1].toUpperCase());
        ConsumerGroupPartitionAssignor assignor = fields[0].equals("range") ? new RangeAssignor() : new UniformAssignor();
        Map<String, MemberAssignment> assignment = assignor.assign(
            new GroupSpecImpl(members, type, inverted),
            new SubscribedTopicDescriber() {
                public int numPartitions(Uuid topic) { return sizes.getOrDefault(topic, -1); }
                public Set<String> racksForPartition(Uuid topic, int partition) { return Set.of(); }
            }).members();
        List<String> answers = new ArrayList<>();
        for (String member : members.keySet()) {
            List<String> topics = new ArrayList<>();
            MemberAssignment given = assignment.get(member);
            if (given != null) {
                new TreeMap<>(given.partitions()).forEach((topic, partitions) -> topics.add(
                    topic.getLeastSignificantBits() + "=" + String.join(",",
                        new TreeSet<>(partitions).stream().map(String::valueOf).toList())));
            }
            answers.add(member + ":" + String.join("+", topics));
        }
        return String.join(" ", answers);
    }

    record Topic(String name, Uuid id, List<List<String>> racks) implements CoordinatorMetadataImage.TopicMetadata {
        public int partitionCount() { return racks.size(); }
        public List<String> partitionRacks(int partition) { return new ArrayList<>(racks.get(partition)); }
    }

    static String hash(String topics) {
        Map<String, Topic> image = new TreeMap<>();
        for (String topic : list(topics, " ")) {
            String[] parts = topic.split("=", -1);
            List<List<String>> racks = new ArrayList<>();
            for (String partition : parts[2].split("/", -1)) racks.add(list(partition, "\\+"));
            image.put(parts[0], new Topic(parts[0], id(parts[1]), racks));
        }
        CoordinatorMetadataImage world = new CoordinatorMetadataImage() {
            public Set<Uuid> topicIds() { return Set.of(); }
            public Set<String> topicNames() { return image.keySet(); }
            public Optional<TopicMetadata> topicMetadata(String name) { return Optional.ofNullable(image.get(name)); }
            public Optional<TopicMetadata> topicMetadata(Uuid id) { return Optional.empty(); }
            public CoordinatorMetadataDelta emptyDelta() { return CoordinatorMetadataDelta.EMPTY; }
            public long version() { return 0; }
            public boolean isEmpty() { return image.isEmpty(); }
        };
        Map<String, Long> hashes = new HashMap<>();
        image.keySet().forEach(name -> hashes.put(name, Utils.computeTopicHash(name, world)));
        return Long.toString(Utils.computeGroupHash(hashes));
    }

    static String regex(String pattern, String name) {
        try {
            return Boolean.toString(com.google.re2j.Pattern.compile(pattern).matcher(name).matches());
        } catch (com.google.re2j.PatternSyntaxException e) {
            return "invalid";
        }
    }

    static Uuid id(String text) {
        return new Uuid(0, Long.parseLong(text));
    }

    static List<String> list(String text, String separator) {
        return text.isEmpty() ? Collections.emptyList() : List.of(text.split(separator));
    }
}
