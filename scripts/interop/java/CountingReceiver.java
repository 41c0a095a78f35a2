import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.telemetry.ClientTelemetry;
import org.apache.kafka.server.telemetry.ClientTelemetryReceiver;

import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

/** Counts what clients push to Apache Kafka, in the words in which ringmill does. */
public final class CountingReceiver implements MetricsReporter, ClientTelemetry {
    @Override public ClientTelemetryReceiver clientReceiver() {
        AtomicLong pushes = new AtomicLong();
        AtomicLong bytes = new AtomicLong();
        return (context, payload) -> {
            long sum = bytes.addAndGet(payload.data().remaining());
            System.out.println("client-metrics: plugin-export=" + pushes.incrementAndGet() + " plugin-export-bytes=" + sum
                + " plugin-error=0 throttle=0");
        };
    }

    @Override public void init(List<KafkaMetric> metrics) {
    }

    @Override public void metricChange(KafkaMetric metric) {
    }

    @Override public void metricRemoval(KafkaMetric metric) {
    }

    @Override public void close() {
    }

    @Override public void configure(Map<String, ?> configs) {
    }
}
