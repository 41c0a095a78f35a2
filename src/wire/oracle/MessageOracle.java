import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.jar.JarFile;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * What Apache Kafka's own message classes write and read.
 *
 * <pre>
 * write SEED ROUNDS   random messages of every class and version: NAME VERSION HEX TO HEX, where the second HEX is the
 *                     same message in version TO and without the tagged fields that nobody knows;
 *                     NAME - - TO HEX is a message of nothing but defaults
 * small SEED          the same, one short message for each class and version
 * check               reads lines NAME VERSION HEX, and prints those that Java does not read and write back the same
 * tables              the API keys and the error codes
 * </pre>
 */
public final class MessageOracle {
    private static final PrintStream OUT = new PrintStream(System.out, false);
    /** Packages of message classes; of the storage classes only the one that has a schema here. */
    private static final String CLASSES =
        "org/apache/kafka/(common/message/\\w+|common/metadata/\\w+|coordinator/\\w+/generated/\\w+"
            + "|raft/generated/\\w+|server/log/remote/metadata/storage/generated/ProducerSnapshot)\\.class";

    public static void main(String[] args) throws Exception {
        Map<String, Class<?>> classes = classes();
        switch (args[0]) {
            case "write" -> write(classes, Long.parseLong(args[1]), Integer.parseInt(args[2]), false);
            case "small" -> write(classes, Long.parseLong(args[1]), 1, true);
            case "check" -> check(classes);
            case "tables" -> tables();
            default -> throw new IllegalArgumentException(args[0]);
        }
        OUT.flush();
    }

    private static Map<String, Class<?>> classes() throws Exception {
        Map<String, Class<?>> found = new TreeMap<>();
        for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!new File(path).getName().startsWith("kafka-") || !path.endsWith(".jar")) {
                continue;
            }
            try (JarFile jar = new JarFile(path)) {
                for (String entry : (Iterable<String>) jar.stream().map(e -> e.getName())::iterator) {
                    if (!entry.matches(CLASSES) || entry.contains("/streams/")) {
                        continue;
                    }
                    Class<?> type = Class.forName(entry.substring(0, entry.length() - 6).replace('/', '.'));
                    String name = type.getSimpleName().replaceFirst("(Request|Response)Data$", "$1");
                    if (ApiMessage.class.isAssignableFrom(type) && !name.endsWith("HeaderData") && lowest(type) <= highest(type)) {
                        found.put(name, type);
                    }
                }
            }
        }
        return found;
    }

    private static short lowest(Class<?> type) throws Exception {
        return type.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
    }

    private static short highest(Class<?> type) throws Exception {
        return type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
    }

    private static Schema schema(Class<?> type, short version) throws Exception {
        return ((Schema[]) type.getField("SCHEMAS").get(null))[version];
    }

    private static void write(Map<String, Class<?>> classes, long seed, int rounds, boolean small) throws Exception {
        for (Map.Entry<String, Class<?>> entry : classes.entrySet()) {
            Class<?> type = entry.getValue();
            for (short version = lowest(type); version <= highest(type); version++) {
                line(entry.getKey() + " - - ", (Message) type.getConstructor().newInstance(), version);
                for (int round = 0; round < rounds; round++) {
                    long own = Arrays.hashCode(new long[] {seed, entry.getKey().hashCode(), version, round});
                    boolean unknown = round % 2 == (small ? 0 : 1);
                    Message sent = (Message) new Filler(own, unknown, small).message(type, schema(type, version), version);
                    Message known = (Message) new Filler(own, false, small).message(type, schema(type, version), version);
                    String start = entry.getKey() + " " + version + " " + hex(sent, version) + " ";
                    if (small) {
                        line(start, known, version);
                        continue;
                    }
                    // The versions of one message side by side show that fields are what they are named, not only where.
                    for (short to = lowest(type); to <= highest(type); to++) {
                        if (to == version || round < 2) {
                            line(start, known, to);
                        }
                    }
                }
            }
        }
    }

    /** Prints nothing when the message cannot be written in that version. */
    private static void line(String start, Message message, short to) {
        try {
            OUT.println(start + to + " " + hex(message, to));
        } catch (UnsupportedVersionException | NullPointerException expected) {
            // A field that the version lacks, or cannot have as null.
        }
    }

    private static String hex(Message message, short version) {
        ByteBuffer bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] copy = new byte[bytes.remaining()];
        bytes.get(copy);
        return copy.length == 0 ? "." : HexFormat.of().formatHex(copy);
    }

    private static void check(Map<String, Class<?>> classes) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        long count = 0;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            short version = Short.parseShort(words[1]);
            byte[] bytes = words[2].equals(".") ? new byte[0] : HexFormat.of().parseHex(words[2]);
            try {
                Message message = (Message) classes.get(words[0]).getConstructor().newInstance();
                ByteBuffer buffer = ByteBuffer.wrap(bytes);
                message.read(new ByteBufferAccessor(buffer), version);
                String again = hex(message, version);
                if (buffer.hasRemaining() || !again.equals(words[2])) {
                    OUT.println("differs: " + line + " " + again);
                }
            } catch (Exception failure) {
                OUT.println("fails: " + line + " " + failure);
            }
            count++;
        }
        OUT.println("checked " + count);
    }

    private static void tables() {
        for (ApiKeys key : ApiKeys.values()) {
            StringBuilder line = new StringBuilder("api " + key.id + " " + key.name);
            line.append(key.hasValidVersion() ? " " + key.oldestVersion() + " " + key.latestVersion() : " 0 -1");
            line.append(" ").append(key.messageType.latestVersionUnstable());
            line.append(" ").append(key.inScope(ApiMessageType.ListenerType.BROKER));
            line.append(" ").append(key.inScope(ApiMessageType.ListenerType.CONTROLLER));
            for (short version = key.messageType.lowestSupportedVersion(); version <= key.messageType.highestSupportedVersion(true); version++) {
                line.append(" ").append(key.requestHeaderVersion(version)).append(key.responseHeaderVersion(version));
            }
            OUT.println(line);
        }
        Errors[] errors = Errors.values();
        Arrays.sort(errors, Comparator.comparingInt(Errors::code));
        for (Errors error : errors) {
            OUT.println("error " + error.code() + " " + error.name() + " " + (error.exception() instanceof RetriableException));
        }
    }

    /** Fills messages with random values, guided by the schema of their version. */
    private static final class Filler {
        private final Random random;
        private final boolean unknownTags;
        private final boolean small;

        Filler(long seed, boolean unknownTags, boolean small) {
            this.random = new Random(seed);
            this.unknownTags = unknownTags;
            this.small = small;
        }

        Object message(Class<?> type, Schema schema, short version) throws Exception {
            Object message = type.getConstructor().newInstance();
            for (BoundField bound : schema.fields()) {
                if (bound.def.type instanceof TaggedFields tagged) {
                    tags((Message) message, tagged, version);
                } else {
                    set(message, bound.def, version);
                }
            }
            return message;
        }

        private void tags(Message message, TaggedFields tagged, short version) throws Exception {
            for (Field field : tagged.fields().values()) {
                if (random.nextInt(4) > 0) {
                    set(message, field, version);
                }
            }
            // Drawn in any case, so that the same seed gives the same message with and without them.
            int count = random.nextInt(3);
            int tag = 1000;
            for (int i = 0; i < count; i++) {
                tag += 1 + random.nextInt(1 << 16);
                byte[] data = bytes(random.nextInt(small ? 3 : 200));
                if (unknownTags) {
                    message.unknownTaggedFields().add(new RawTaggedField(tag, data));
                }
            }
        }

        private void set(Object message, Field field, short version) throws Exception {
            Method setter = setter(message.getClass(), field.name);
            Class<?> kind = setter.getParameterTypes()[0];
            boolean isNull = field.type.isNullable() && random.nextInt(4) == 0;
            setter.invoke(message, isNull ? null : value(message, field, kind, version));
        }

        private static Method setter(Class<?> type, String name) {
            String wanted = "set" + name.replace("_", "").toLowerCase(Locale.ROOT);
            for (Method method : type.getMethods()) {
                if (method.getParameterCount() == 1 && method.getName().toLowerCase(Locale.ROOT).equals(wanted)) {
                    return method;
                }
            }
            throw new IllegalStateException(type + " has no setter for " + name);
        }

        private Object value(Object message, Field field, Class<?> kind, short version) throws Exception {
            if (Collection.class.isAssignableFrom(kind)) {
                return collection(message, field, kind, version);
            }
            if (Message.class.isAssignableFrom(kind)) {
                return message(kind, schema(kind, version), version);
            }
            return scalar(field.type, kind);
        }

        @SuppressWarnings({"unchecked", "rawtypes"})
        private Object collection(Object message, Field field, Class<?> kind, short version) throws Exception {
            boolean list = kind == List.class;
            Collection values = list ? new ArrayList<>() : (Collection) kind.getConstructor().newInstance();
            Method setter = setter(message.getClass(), field.name);
            java.lang.reflect.Type generic = list ? setter.getGenericParameterTypes()[0] : kind.getGenericSuperclass();
            Class<?> element = (Class<?>) ((ParameterizedType) generic).getActualTypeArguments()[0];
            boolean struct = Message.class.isAssignableFrom(element);
            int count = random.nextInt(small ? 2 : 4);
            // Counts of more than one byte.
            if (!small && !struct && random.nextInt(8) == 0) {
                count = 120 + random.nextInt(20);
            }
            Type type = field.type.arrayElementType().orElseThrow();
            for (int i = 0; i < count; i++) {
                values.add(struct ? message(element, schema(element, version), version) : scalar(type, element));
            }
            return values;
        }

        private Object scalar(Type type, Class<?> kind) {
            if (kind == boolean.class) return random.nextBoolean();
            if (kind == byte.class || kind == Byte.class) return (byte) integer(Byte.MIN_VALUE, Byte.MAX_VALUE);
            if (kind == short.class || kind == Short.class) return (short) integer(Short.MIN_VALUE, Short.MAX_VALUE);
            if (type == Type.UINT16) return (int) integer(0, 65535);
            if (type == Type.UNSIGNED_INT32) return integer(0, 4294967295L);
            if (kind == int.class || kind == Integer.class) return (int) integer(Integer.MIN_VALUE, Integer.MAX_VALUE);
            if (kind == long.class || kind == Long.class) return integer(Long.MIN_VALUE, Long.MAX_VALUE);
            if (kind == double.class) return Double.longBitsToDouble(random.nextLong() & ~(1L << 62));
            if (kind == Uuid.class) return random.nextInt(4) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
            if (kind == String.class) return string();
            byte[] bytes = bytes(random.nextInt(small ? 6 : random.nextInt(8) == 0 ? 20000 : 60));
            if (kind == byte[].class) return bytes;
            if (kind == ByteBuffer.class) return ByteBuffer.wrap(bytes);
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        }

        private long integer(long min, long max) {
            long any = random.nextLong();
            long within = min == Long.MIN_VALUE ? any : min + Math.floorMod(any, max - min + 1);
            return switch (random.nextInt(8)) {
                case 0 -> min;
                case 1 -> max;
                case 2 -> 0;
                case 3 -> min < 0 ? -1 : 1;
                case 4 -> random.nextInt(100);
                default -> within;
            };
        }

        private String string() {
            int length = random.nextInt(small ? 5 : random.nextInt(8) == 0 ? 300 : 20);
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < length; i++) {
                int any = random.nextInt(20);
                text.appendCodePoint(any == 0 ? 0x1F980 : any == 1 ? 0xE9 : any == 2 ? 0 : 'a' + random.nextInt(26));
            }
            return text.toString();
        }

        private byte[] bytes(int length) {
            byte[] bytes = new byte[length];
            random.nextBytes(bytes);
            return bytes;
        }
    }
}
