"""One member of a consumer group, with one of three Python clients.

    member.py CLIENT BOOTSTRAP GROUP TOPIC PROTOCOL ASSIGNOR INSTANCE SESSION_MS

CLIENT is confluent, kafka-python or aiokafka; PROTOCOL classic or consumer; ASSIGNOR a name as Kafka's Java client has it,
INSTANCE a group.instance.id; "-" stands for none. It reads from the earliest offset, commits what it has printed, and
leaves when standard input closes. Every line it prints starts with the time in microseconds:

    assigned GENERATION PARTITION,...    what was added; the generation (or member epoch) is -1 where the client hides it
    revoked GENERATION PARTITION,...     what was taken away, said before the group is told
    lost GENERATION PARTITION,...        taken away without being asked: others may own it already
    records PARTITION FIRST LAST         offsets without a hole
    committed PARTITION OFFSET           the broker acknowledged it
    trouble TEXT                         what the client said and went on from
    left
"""

import asyncio
import logging
import sys
import threading
import time

POLL_S = 0.2
RECORDS_MAX = 500
HEARTBEAT_MS = 500
# Some tens of records a step instead of one: the clients of a test share two cores.
FETCH_SIZE_MIN = 10_000
FETCH_WAIT_MS = 100


def say(*words):
    line = " ".join([str(time.time_ns() // 1000), *map(str, words)])
    # One write, so that lines of two threads do not mix, and at once: SIGKILL may come next.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say_partitions(verb, generation, partitions):
    if partitions:
        say(verb, generation, ",".join(str(partition) for partition in sorted(partitions)))


def say_trouble(error):
    say("trouble", type(error).__name__, " ".join(str(error).split()))


def say_records(offsets):
    """`offsets`: those of one partition, in order. A compacted or aborted record would be a hole."""
    for partition, numbers in offsets.items():
        first = last = numbers[0]
        for number in numbers[1:]:
            if number != last + 1:
                say("records", partition, first, last)
                first = number
            last = number
        say("records", partition, first, last)


def until_input_closes():
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    return stop


def confluent(bootstrap, group, topic, protocol, assignor, instance, session_ms):
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    config = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "group.protocol": protocol,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.min.bytes": FETCH_SIZE_MIN,
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
        "error_cb": say_trouble,
        "log_level": 0,
    }
    if protocol == "classic":
        config |= {"session.timeout.ms": session_ms, "heartbeat.interval.ms": HEARTBEAT_MS}
        if assignor != "-":
            config["partition.assignment.strategy"] = assignor
    elif assignor != "-":
        config["group.remote.assignor"] = assignor
    if instance != "-":
        config["group.instance.id"] = instance

    def told(verb):
        return lambda _consumer, partitions: say_partitions(verb, -1, [one.partition for one in partitions])

    stop = until_input_closes()
    consumer = Consumer(config)
    consumer.subscribe([topic], on_assign=told("assigned"), on_revoke=told("revoked"), on_lost=told("lost"))
    while not stop.is_set():
        offsets = {}
        for message in consumer.consume(RECORDS_MAX, POLL_S):
            if message.error():
                say_trouble(message.error())
            else:
                offsets.setdefault(message.partition(), []).append(message.offset())
        if not offsets:
            continue
        say_records(offsets)
        ends = [TopicPartition(topic, partition, numbers[-1] + 1) for partition, numbers in offsets.items()]
        try:
            for end in consumer.commit(offsets=ends, asynchronous=False):
                if end.error is None:
                    say("committed", end.partition, end.offset)
                else:
                    say_trouble(end.error)
        except KafkaException as error:
            say_trouble(error)
    consumer.close()


def kafka_python(bootstrap, group, topic, _protocol, assignor, instance, session_ms):
    from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from kafka.errors import KafkaError
    from kafka.structs import OffsetAndMetadata

    assignors = {
        "range": RangePartitionAssignor,
        "roundrobin": RoundRobinPartitionAssignor,
    }
    # What it did last is the first thing to know of a member that hangs.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("kafka.coordinator").setLevel(logging.INFO)
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=None if instance == "-" else instance,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[assignors["range" if assignor == "-" else assignor]],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=HEARTBEAT_MS,
        fetch_min_bytes=FETCH_SIZE_MIN,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        reconnect_backoff_ms=20,
        reconnect_backoff_max_ms=200,
    )

    class Told(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            say_partitions("assigned", -1, [one.partition for one in assigned])

        def on_partitions_revoked(self, revoked):
            say_partitions("revoked", -1, [one.partition for one in revoked])

        def on_partitions_lost(self, lost):
            say_partitions("lost", -1, [one.partition for one in lost])

    stop = until_input_closes()
    consumer.subscribe([topic], listener=Told())
    while not stop.is_set():
        batches = consumer.poll(timeout_ms=int(POLL_S * 1000), max_records=RECORDS_MAX)
        if not batches:
            continue
        say_records({place.partition: [one.offset for one in records] for place, records in batches.items()})
        ends = {place: records[-1].offset + 1 for place, records in batches.items()}
        try:
            consumer.commit({place: OffsetAndMetadata(end, "", -1) for place, end in ends.items()})
            for place, end in ends.items():
                say("committed", place.partition, end)
        except KafkaError as error:
            say_trouble(error)
    # This client does not tell its listener that it leaves.
    say_partitions("revoked", -1, [one.partition for one in consumer.assignment()])
    consumer.close()


def aiokafka(bootstrap, group, topic, _protocol, assignor, instance, session_ms):
    asyncio.run(aiokafka_member(bootstrap, group, topic, assignor, instance, session_ms))


async def aiokafka_member(bootstrap, group, topic, assignor, instance, session_ms):
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from aiokafka.errors import KafkaError

    assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=None if instance == "-" else instance,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[assignors["range" if assignor == "-" else assignor]],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=HEARTBEAT_MS,
        fetch_min_bytes=FETCH_SIZE_MIN,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )

    class Told(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            say_partitions("assigned", generation(), [one.partition for one in assigned])

        def on_partitions_revoked(self, revoked):
            say_partitions("revoked", generation(), [one.partition for one in revoked])

    def generation():
        return consumer._coordinator.generation

    stop = until_input_closes()
    consumer.subscribe([topic], listener=Told())
    await consumer.start()
    while not stop.is_set():
        batches = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=RECORDS_MAX)
        if not batches:
            continue
        say_records({place.partition: [one.offset for one in records] for place, records in batches.items()})
        ends = {place: records[-1].offset + 1 for place, records in batches.items()}
        try:
            await consumer.commit(ends)
            for place, end in ends.items():
                say("committed", place.partition, end)
        except KafkaError as error:
            say_trouble(error)
    # Leaving calls no listener here.
    say_partitions("revoked", generation(), [one.partition for one in consumer.assignment()])
    await consumer.stop()


def main():
    clients = {"confluent": confluent, "kafka-python": kafka_python, "aiokafka": aiokafka}
    if len(sys.argv) != 9:
        sys.exit(__doc__)
    client, *places, session_ms = sys.argv[1:]
    clients[client](*places, int(session_ms))
    say("left")


main()
