"""A topic through Confluent's own client: what the program under test does not do itself.

usage: topic.py make BROKERS TOPIC PARTITIONS
       topic.py produce BROKERS [--apart]
       topic.py committed BROKERS GROUP TOPIC PARTITIONS

`produce` reads a JSON line for each message: topic, value (null is a tombstone)
and, where wanted, key, partition, headers and time in milliseconds. Text with a
byte that is no text is given as base64 under `value64`. It ends when all
messages are acknowledged, and prints how many. `--apart` sends each message as
a batch of its own: the test broker names the base of the last batch where it is
asked for the end of a partition. `committed` prints the group's offsets, one for
each partition, null where there is none.
"""

import argparse
import base64
import json
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

# Longer than any broker of a test is gone.
PATIENCE_SECONDS = 120


def make(options) -> None:
    admin = AdminClient({"bootstrap.servers": options.brokers})
    for made in admin.create_topics([NewTopic(options.topic, options.partitions, 1)]).values():
        made.result(PATIENCE_SECONDS)


def produce(options) -> None:
    settings = {
        "bootstrap.servers": options.brokers,
        "enable.idempotence": True,
        "message.timeout.ms": PATIENCE_SECONDS * 1000,
        "queue.buffering.max.messages": 200_000,
        "reconnect.backoff.max.ms": 1000,
    }
    if options.apart:
        settings |= {"linger.ms": 0, "batch.num.messages": 1}
    producer = Producer(settings)
    failures = []
    count = 0

    def delivered(error, _):
        if error:
            failures.append(error)

    for line in sys.stdin:
        message = json.loads(line)
        parts = {
            "topic": message["topic"],
            "value": base64.b64decode(message["value64"]) if "value64" in message else message.get("value"),
            "key": message.get("key"),
            "headers": [tuple(header) for header in message.get("headers") or []],
            "on_delivery": delivered,
        }
        if "partition" in message:
            parts["partition"] = message["partition"]
        if "time" in message:
            parts["timestamp"] = message["time"]
        while True:
            try:
                producer.produce(**parts)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        count += 1
    if producer.flush(PATIENCE_SECONDS) or failures:
        raise SystemExit(f"not every message was acknowledged: {failures[:1]}")
    print(count)


def committed(options) -> None:
    consumer = Consumer({"bootstrap.servers": options.brokers, "group.id": options.group})
    wanted = [TopicPartition(options.topic, number) for number in range(options.partitions)]
    places = consumer.committed(wanted, timeout=30)
    print(json.dumps([place.offset if place.offset >= 0 else None for place in places]))
    consumer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, names in {
        make: ["brokers", "topic", "partitions"],
        produce: ["brokers"],
        committed: ["brokers", "group", "topic", "partitions"],
    }.items():
        known = verbs.add_parser(verb.__name__)
        known.set_defaults(run=verb)
        for name in names:
            known.add_argument(name, type=int if name == "partitions" else str)
        if verb is produce:
            known.add_argument("--apart", action="store_true")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
