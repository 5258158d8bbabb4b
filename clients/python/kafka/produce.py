"""Messages as Confluent's own serializers write them, in every format.

usage: produce.py --registry URL --user NAME --password WORD [--prefix TEXT] [--count N] [--broker HOST:PORT]

Registers the schemas, reads every message back with Confluent's own
deserializers through a client that knows nothing yet, and prints one JSON line for each message: topic, format,
key, value and headers (bytes as base64), and `expect`, what a reader must find
in the value. `digits` are pieces that its JSON text must have letter for
letter. With a broker the messages are produced as well. The same call makes
the same messages.
"""

import argparse
import base64
import datetime
import decimal
import json

from confluent_kafka import Producer
from confluent_kafka.schema_registry import (
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    header_schema_id_serializer,
    record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from shop import MONEY_AVRO, ORDER_AVRO, ORDER_JSON_SCHEMA, protobuf_classes

ORDERED_AT = datetime.datetime(2022, 1, 1, 12, 30, 15, 250_000, tzinfo=datetime.timezone.utc)
LARGE = 2**53 + 1  # the first whole number that a float cannot hold
EXACT = decimal.Decimal("1234567890123456789012345.67")


class Shop:
    """Makes the messages of all formats."""

    def __init__(self, registry: SchemaRegistryClient, reader: SchemaRegistryClient, prefix: str):
        self.registry, self.reader, self.prefix = registry, reader, prefix
        registry.register_schema("shop.Money", Schema(MONEY_AVRO, "AVRO"))
        reference = SchemaReference("shop.Money", "shop.Money", 1)
        self.avro_schema = Schema(ORDER_AVRO, "AVRO", [reference])
        self.order_class, self.line_class = protobuf_classes()

    def messages(self, number: int):
        """One message of each format."""
        yield self.json(number)
        yield self.json_schema(number)
        yield self.avro("avro", number, {})
        yield self.avro("avro_record_name", number, {"subject.name.strategy": record_subject_name_strategy})
        yield self.avro("avro_header", number, {"schema.id.serializer": header_schema_id_serializer})
        yield self.protobuf(number)
        yield self.protobuf_nested(number)

    def message(self, name, format, number, serializer, deserializer, value, expect, digits=()):
        topic = f"{self.prefix}{name}"
        headers = [("number", str(number).encode())]
        context = SerializationContext(topic, MessageField.VALUE, headers)
        body = serializer(value, context)
        if deserializer(body, context) != value:
            raise SystemExit(f"{topic}: Confluent's own client reads something else than it wrote")
        return {
            "topic": topic,
            "format": format,
            "key": f"user-{number}".encode(),
            "value": body,
            "headers": headers,
            "expect": expect,
            "digits": list(digits),
        }

    def json(self, number: int):
        value = {"data": {"user_id": f"user-{number}", "number": LARGE + number, "total": 19.99, "note": "é \"x\""}}
        return self.message(
            "json",
            "json",
            number,
            lambda value, _: json.dumps(value).encode(),
            lambda body, _: json.loads(body),
            value,
            value,
        )

    def json_schema(self, number: int):
        value = {"user_id": f"user-{number}", "number": LARGE + number, "total": 0.1, "lines": [{"sku": "a"}]}
        serializer = JSONSerializer(ORDER_JSON_SCHEMA, self.registry)
        deserializer = JSONDeserializer(None, schema_registry_client=self.reader)
        return self.message("json_schema", "json_schema", number, serializer, deserializer, value, value)

    def avro(self, name: str, number: int, settings: dict):
        money = {"amount": EXACT, "currency": "EUR"}
        value = {
            "user_id": f"user-{number}",
            "number": LARGE + number,
            "total": money,
            "lines": [money, {"amount": decimal.Decimal("-0.05"), "currency": "USD"}],
            "ordered_at": ORDERED_AT,
            "day": ORDERED_AT.date(),
            "state": "PAID",
            "note": None if number % 2 else "with \"quotes\"",
            "tags": {"a": number},
            "token": b"\xff\x00\x01",
            "ratio": 0.1,
            "gift": True,
        }
        expect = {
            **value,
            "total": {"amount": float(EXACT), "currency": "EUR"},
            "lines": [{"amount": float(EXACT), "currency": "EUR"}, {"amount": -0.05, "currency": "USD"}],
            "ordered_at": "2022-01-01T12:30:15.25Z",
            "day": "2022-01-01",
            "token": base64.b64encode(value["token"]).decode(),
        }
        digits = [f'"amount":{EXACT}', '"amount":-0.05', f'"number":{LARGE + number}']
        serializer = AvroSerializer(self.registry, self.avro_schema, conf=settings)
        deserializer = AvroDeserializer(self.reader)
        return self.message(name, "avro", number, serializer, deserializer, value, expect, digits)

    def protobuf(self, number: int):
        value = self.order_class(user_id=f"user-{number}", number=2**64 - 1 - number, state=1, ratio=0.1)
        value.total.cents, value.total.currency = LARGE, "EUR"
        value.lines.add(sku="a").price.cents = -5
        value.ordered_at.FromDatetime(ORDERED_AT)
        value.note.value = "with \"quotes\""
        value.tags["a"] = number
        value.box = b"\xff\x00\x01"
        expect = {
            "user_id": f"user-{number}",
            "number": 2**64 - 1 - number,
            "total": {"cents": LARGE, "currency": "EUR"},
            "lines": [{"sku": "a", "price": {"cents": -5, "currency": ""}}],
            "ordered_at": "2022-01-01T12:30:15.250Z",
            "state": "PAID",
            "note": "with \"quotes\"",
            "tags": {"a": number},
            "box": "/wAB",
            "ratio": 0.1,
            "gift": False,
        }
        serializer = ProtobufSerializer(self.order_class, self.registry)
        digits = [f'"number":{2**64 - 1 - number},', f'"cents":{LARGE},']
        deserializer = ProtobufDeserializer(self.order_class, schema_registry_client=self.reader)
        return self.message("protobuf", "protobuf", number, serializer, deserializer, value, expect, digits)

    def protobuf_nested(self, number: int):
        value = self.line_class(sku=f"sku-{number}")
        serializer = ProtobufSerializer(self.line_class, self.registry)
        expect = {"sku": f"sku-{number}"}
        deserializer = ProtobufDeserializer(self.line_class, schema_registry_client=self.reader)
        return self.message("protobuf_nested", "protobuf", number, serializer, deserializer, value, expect)


def printed(message: dict) -> str:
    encoded = {part: base64.b64encode(message[part]).decode() for part in ("key", "value")}
    headers = [[name, base64.b64encode(value).decode()] for name, value in message["headers"]]
    return json.dumps({**message, **encoded, "headers": headers})


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("registry", "user", "password"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--broker")
    options = parser.parse_args()

    credentials = f"{options.user}:{options.password}"
    settings = {"url": options.registry, "basic.auth.user.info": credentials}
    shop = Shop(SchemaRegistryClient(settings), SchemaRegistryClient(settings), options.prefix)
    producer = options.broker and Producer({"bootstrap.servers": options.broker, "enable.idempotence": True})
    for number in range(options.count):
        for message in shop.messages(number):
            print(printed(message))
            if producer:
                parts = {part: message[part] for part in ("topic", "key", "value", "headers")}
                producer.produce(**parts)
    if producer and producer.flush(30):
        raise SystemExit("not all messages reached the broker within 30 seconds")


if __name__ == "__main__":
    main()
