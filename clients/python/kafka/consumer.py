"""Makes a topic with Confluent's client, and prints what it holds.

usage: consumer.py make BROKER TOPIC
       consumer.py read BROKER TOPIC COUNT

`read` prints COUNT records, one a line: a JSON object of `key` and `data`.
"""

import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SECONDS = 20


def make(broker: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(SECONDS)


def read(broker: str, topic: str, count: str) -> None:
    reader = Consumer({"bootstrap.servers": broker, "group.id": "reader", "enable.auto.commit": False})
    reader.assign([TopicPartition(topic, 0, 0)])
    left, until = int(count), time.monotonic() + SECONDS
    while left > 0:
        if time.monotonic() > until:
            sys.exit(f"{left} records are still missing after {SECONDS} seconds")
        for message in reader.consume(left, 0.5):
            if message.error():
                sys.exit(f"{message.error()}")
            print(json.dumps({"key": (message.key() or b"").decode(), "data": message.value().decode()}))
            left -= 1
    reader.close()


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    {"make": make, "read": read}[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
