import java.util.Map;
import java.util.TreeMap;

import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.QuotaConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Prints what Apache Kafka says of each of its settings, one line a key, fields parted by tabs:
 * resource, name, type, default, allowed values, importance, update mode or broker synonym, internal.
 * A missing default is "(required)", a null one "(null)". Line ends inside a field become "\n".
 */
public class ConfigDump {
    public static void main(String[] args) {
        Map<String, String> modes = DynamicBrokerConfig.dynamicConfigUpdateModes();
        ConfigDef broker = QuotaConfig.brokerQuotaConfigs();
        AbstractKafkaConfig.CONFIG_DEF.configKeys().values().forEach(broker::define);
        dump("broker", broker, name -> modes.getOrDefault(name, "read-only"));
        dump("topic", LogConfig.configDefCopy(), name -> String.valueOf(ServerTopicConfigSynonyms.TOPIC_CONFIG_SYNONYMS.get(name)));
        dump("group", GroupConfig.CONFIG_DEF, name -> GroupConfig.brokerSynonym(name).orElse("null"));
    }

    private static void dump(String resource, ConfigDef def, java.util.function.UnaryOperator<String> extra) {
        for (ConfigDef.ConfigKey key : new TreeMap<>(def.configKeys()).values()) {
            String standard = !key.hasDefault() ? "(required)"
                : key.defaultValue == null ? "(null)" : ConfigDef.convertToString(key.defaultValue, key.type);
            System.out.println(String.join("\t", resource, key.name, key.type.name(), standard,
                key.validator == null ? "" : key.validator.toString(), key.importance.name(), extra.apply(key.name),
                String.valueOf(key.internalConfig)).replace("\n", "\\n"));
        }
    }
}
