"""A topic through Confluent's own client: what the program under test does not do itself.

usage: topic.py make BROKERS TOPIC PARTITIONS
       topic.py produce BROKERS [--apart]
       topic.py load BROKERS TOPIC --per-second RATE --users COUNT
       topic.py committed BROKERS GROUP TOPIC PARTITIONS
       topic.py numbers BROKERS TOPIC PARTITIONS

`produce` reads a JSON line for each message: topic, value (null is a tombstone)
and, where wanted, key, partition, headers and time in milliseconds. Text with a
byte that is no text is given as base64 under `value64`. It ends when all
messages are acknowledged, and prints how many. `--apart` sends each message as
a batch of its own: the test broker names the base of the last batch where it is
asked for the end of a partition. `load` writes `{"n": 0}`, `{"n": 1}` and so on,
each under the key of one of its users, until its stdin ends, and prints how
many. `committed` prints the group's offsets, one for
each partition, null where there is none. `numbers` prints what `load` wrote, as
the topic has it, and the sum of the offsets behind the last messages: a broker
that lost messages leaves gaps.
"""

import argparse
import base64
import json
import select
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

# Longer than any broker of a test is gone.
PATIENCE_SECONDS = 120


def make(options) -> None:
    admin = AdminClient({"bootstrap.servers": options.brokers})
    for made in admin.create_topics([NewTopic(options.topic, options.partitions, 1)]).values():
        made.result(PATIENCE_SECONDS)


class Writer:
    """A producer that ends only when everything is acknowledged."""

    def __init__(self, brokers: str, more: dict):
        settings = {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "message.timeout.ms": PATIENCE_SECONDS * 1000,
            "reconnect.backoff.max.ms": 1000,
        }
        self.producer = Producer(settings | more)
        self.failures = []
        self.count = 0

    def write(self, parts: dict) -> None:
        while True:
            try:
                self.producer.produce(**parts, on_delivery=self.delivered)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)
        self.count += 1

    def delivered(self, error, _) -> None:
        if error:
            self.failures.append(error)

    def finish(self) -> None:
        if self.producer.flush(PATIENCE_SECONDS) or self.failures:
            raise SystemExit(f"not every message was acknowledged: {self.failures[:1]}")
        print(self.count)


def produce(options) -> None:
    writer = Writer(options.brokers, {"linger.ms": 0, "batch.num.messages": 1} if options.apart else {})
    for line in sys.stdin:
        message = json.loads(line)
        parts = {
            "topic": message["topic"],
            "value": base64.b64decode(message["value64"]) if "value64" in message else message.get("value"),
            "key": message.get("key"),
            "headers": [tuple(header) for header in message.get("headers") or []],
        }
        if "partition" in message:
            parts["partition"] = message["partition"]
        if "time" in message:
            parts["timestamp"] = message["time"]
        writer.write(parts)
    writer.finish()


def load(options) -> None:
    writer = Writer(options.brokers, {"linger.ms": 5})
    started = time.monotonic()
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        while writer.count < (time.monotonic() - started) * options.per_second:
            key, value = f"u{writer.count % options.users}", json.dumps({"n": writer.count})
            writer.write({"topic": options.topic, "key": key, "value": value})
    writer.finish()


def committed(options) -> None:
    consumer = Consumer({"bootstrap.servers": options.brokers, "group.id": options.group})
    wanted = [TopicPartition(options.topic, number) for number in range(options.partitions)]
    places = consumer.committed(wanted, timeout=30)
    print(json.dumps([place.offset if place.offset >= 0 else None for place in places]))
    consumer.close()


def numbers(options) -> None:
    settings = {"group.id": "numbers", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": options.brokers, **settings})
    consumer.assign([TopicPartition(options.topic, number, 0) for number in range(options.partitions)])
    found, ends = [], {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(ends) < options.partitions and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            found.append(json.loads(message.value())["n"])
        elif message is not None and message.error().code() == KafkaError._PARTITION_EOF:
            ends[message.partition()] = message.offset()
    consumer.close()
    if len(ends) < options.partitions:
        raise SystemExit("the topic could not be read to its end")
    print(json.dumps({"numbers": sorted(found), "ends": sum(ends.values())}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, names in {
        make: ["brokers", "topic", "partitions"],
        produce: ["brokers"],
        load: ["brokers", "topic"],
        committed: ["brokers", "group", "topic", "partitions"],
        numbers: ["brokers", "topic", "partitions"],
    }.items():
        known = verbs.add_parser(verb.__name__)
        known.set_defaults(run=verb)
        for name in names:
            known.add_argument(name, type=int if name == "partitions" else str)
        if verb is produce:
            known.add_argument("--apart", action="store_true")
        if verb is load:
            known.add_argument("--per-second", type=int, required=True)
            known.add_argument("--users", type=int, required=True)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
