"""confluent-kafka (librdkafka) as an interoperability client.

    client.py produce BOOTSTRAP TOPIC CODEC        < records
    client.py consume BOOTSTRAP TOPIC              > records
    client.py seek BOOTSTRAP TOPIC PARTITION OFFSET COUNT   > records
    client.py load BOOTSTRAP TOPIC PARTITIONS [RATE]   > acknowledgements, until standard input closes

A record is one line: partition, timestamp, key, value, headers; what was read has the offset after the partition.
Bytes are "x" and hex digits, null is "-", headers are "name=value" joined by ";" ("." when there are none).
"""

import os
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

OFFSET_BEGINNING = 0
DEADLINE_S = 60
RATE_PER_S = 10_000


def pack(data):
    return "-" if data is None else "x" + bytes(data).hex()


def unpack(text):
    return None if text == "-" else bytes.fromhex(text[1:])


def unpack_headers(text):
    if text == ".":
        return []
    pairs = (pair.split("=") for pair in text.split(";"))
    return [(unpack(name).decode(), unpack(value)) for name, value in pairs]


def pack_headers(headers):
    if not headers:
        return "."
    return ";".join(pack(name.encode()) + "=" + pack(value) for name, value in headers)


def produce(bootstrap, topic, codec):
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": codec,
            "linger.ms": 20,
            "message.timeout.ms": DEADLINE_S * 1000,
        }
    )
    sent = 0
    for line in sys.stdin:
        partition, timestamp, key, value, headers = line.rstrip("\n").split("\t")
        while True:
            try:
                producer.produce(
                    topic,
                    partition=int(partition),
                    timestamp=int(timestamp),
                    key=unpack(key),
                    value=unpack(value),
                    headers=unpack_headers(headers),
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
    left = producer.flush(DEADLINE_S)
    if left or failures:
        sys.exit(f"{left} of {sent} not delivered, {len(failures)} failed: {failures[:3]}")


def new_consumer(bootstrap):
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "never-joined",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 100,
        }
    )


def line_of(message):
    kind, timestamp = message.timestamp()
    columns = (
        str(message.partition()),
        str(message.offset()),
        str(timestamp),
        pack(message.key()),
        pack(message.value()),
        pack_headers(message.headers()),
    )
    return "\t".join(columns)


def read_until(consumer, ends):
    """Yields messages until each partition's end offset was reached."""
    ends = {partition: end for partition, end in ends.items() if end > 0}
    deadline = time.monotonic() + DEADLINE_S
    while ends:
        messages = consumer.consume(1000, timeout=1.0)
        for message in messages:
            if message.error():
                sys.exit(f"consume: {message.error()}")
            if message.offset() + 1 >= ends.get(message.partition(), 0):
                ends.pop(message.partition(), None)
            yield message
        if time.monotonic() > deadline:
            sys.exit(f"consume: gave up waiting for partitions {ends}")


def consume(bootstrap, topic):
    consumer = new_consumer(bootstrap)
    metadata = consumer.list_topics(topic, timeout=DEADLINE_S).topics[topic]
    ends = {}
    assignment = []
    for partition in metadata.partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=DEADLINE_S)
        if high > low:
            ends[partition] = high
            assignment.append(TopicPartition(topic, partition, low))
    consumer.assign(assignment)
    for message in read_until(consumer, ends):
        print(line_of(message))
    consumer.close()


def seek(bootstrap, topic, partition, offset, count):
    """Reads one record from the start, then jumps: the position after a seek is what is under test."""
    consumer = new_consumer(bootstrap)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    deadline = time.monotonic() + DEADLINE_S
    first = None
    while first is None:
        first = consumer.poll(1.0)
        if time.monotonic() > deadline:
            sys.exit("seek: nothing to read at the start")
    consumer.seek(TopicPartition(topic, partition, offset))
    read = 0
    while read < count:
        message = consumer.poll(1.0)
        if message is not None:
            if message.error():
                sys.exit(f"seek: {message.error()}")
            print(line_of(message))
            read += 1
        if time.monotonic() > deadline:
            sys.exit(f"seek: {read} of {count} records came")
    consumer.close()


def load(bootstrap, topic, partitions, rate_per_s=RATE_PER_S):
    """Writes unique values at up to a rate and prints "partition offset value" once each is acknowledged.

    "lost N" says how many were given up: never acknowledged, so nothing was promised about them.
    """
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    out = sys.stdout
    given_up = 0

    def delivered(error, message):
        nonlocal given_up
        if error is None:
            out.write(f"{message.partition()} {message.offset()} {message.value().decode()}\n")
        elif error.code() == KafkaError._FATAL:
            sys.exit(f"load: fatal: {error}")
        else:
            given_up += 1

    def errors(error):
        # Brokers come and go here. A fatal error (the idempotent producer lost its order) is a finding.
        if error.fatal():
            out.flush()
            sys.stderr.write(f"load: fatal: {error}\n")
            sys.stderr.flush()
            os._exit(3)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 1,
            "queue.buffering.max.messages": 2000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "retry.backoff.ms": 20,
            "message.timeout.ms": DEADLINE_S * 1000,
            "error_cb": errors,
            "log_level": 0,
        }
    )
    number = 0
    while not stop.is_set():
        try:
            for _ in range(rate_per_s // 100):
                producer.produce(topic, partition=number % partitions, value=f"v{number:09}", on_delivery=delivered)
                number += 1
        except BufferError:
            pass
        producer.poll(0.01)
        time.sleep(0.005)
        out.flush()
    producer.flush(DEADLINE_S)
    out.write(f"lost {given_up}\n")
    out.flush()


def main():
    verb, bootstrap, topic, *rest = sys.argv[1:]
    if verb == "produce":
        produce(bootstrap, topic, rest[0])
    elif verb == "consume":
        consume(bootstrap, topic)
    elif verb == "seek":
        seek(bootstrap, topic, int(rest[0]), int(rest[1]), int(rest[2]))
    elif verb == "load":
        load(bootstrap, topic, *map(int, rest))
    else:
        sys.exit(__doc__)


main()
