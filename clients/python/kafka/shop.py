"""The schemas of a small shop, for each format, as its producers would have them."""

import json

from google.protobuf import descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

MONEY_AVRO = json.dumps(
    {
        "type": "record",
        "name": "Money",
        "namespace": "shop",
        "fields": [
            {
                "name": "amount",
                "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2},
            },
            {"name": "currency", "type": "string"},
        ],
    }
)

ORDER_AVRO = json.dumps(
    {
        "type": "record",
        "name": "Order",
        "namespace": "shop",
        "fields": [
            {"name": "user_id", "type": "string"},
            {"name": "number", "type": "long"},
            {"name": "total", "type": "shop.Money"},
            {"name": "lines", "type": {"type": "array", "items": "shop.Money"}},
            {"name": "ordered_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
            {"name": "note", "type": ["null", "string"], "default": None},
            {"name": "tags", "type": {"type": "map", "values": "int"}},
            {"name": "token", "type": {"type": "fixed", "name": "Token", "size": 3}},
            {"name": "ratio", "type": "double"},
            {"name": "gift", "type": "boolean"},
        ],
    }
)

ORDER_JSON_SCHEMA = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Order",
        "type": "object",
        "properties": {
            "user_id": {"type": "string"},
            "number": {"type": "integer"},
            "total": {"type": "number"},
            "lines": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["user_id"],
    }
)


def field(message, name, number, kind, *, type_name=None, repeated=False, oneof=None):
    made = message.field.add(name=name, number=number, type=getattr(FieldDescriptorProto, f"TYPE_{kind}"))
    made.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    if type_name:
        made.type_name = type_name
    if oneof is not None:
        made.oneof_index = oneof


def protobuf_classes():
    """The classes of `shop.Order` and of `shop.Order.Line`, without a protoc."""
    money = FileDescriptorProto(name="shop/money.proto", package="shop", syntax="proto3")
    message = money.message_type.add(name="Money")
    field(message, "cents", 1, "INT64")
    field(message, "currency", 2, "STRING")

    order = FileDescriptorProto(name="shop/order.proto", package="shop", syntax="proto3")
    order.dependency.extend(
        ["shop/money.proto", timestamp_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name]
    )
    order.message_type.add(name="Unused")
    message = order.message_type.add(name="Order")
    state = message.enum_type.add(name="State")
    state.value.add(name="NEW", number=0)
    state.value.add(name="PAID", number=1)
    line = message.nested_type.add(name="Line")
    field(line, "sku", 1, "STRING")
    field(line, "price", 2, "MESSAGE", type_name=".shop.Money")
    entry = message.nested_type.add(name="TagsEntry")
    entry.options.map_entry = True
    field(entry, "key", 1, "STRING")
    field(entry, "value", 2, "INT32")
    message.oneof_decl.add(name="way")
    field(message, "user_id", 1, "STRING")
    field(message, "number", 2, "UINT64")
    field(message, "total", 3, "MESSAGE", type_name=".shop.Money")
    field(message, "lines", 4, "MESSAGE", type_name=".shop.Order.Line", repeated=True)
    field(message, "ordered_at", 5, "MESSAGE", type_name=".google.protobuf.Timestamp")
    field(message, "state", 6, "ENUM", type_name=".shop.Order.State")
    field(message, "note", 7, "MESSAGE", type_name=".google.protobuf.StringValue")
    field(message, "tags", 8, "MESSAGE", type_name=".shop.Order.TagsEntry", repeated=True)
    field(message, "street", 9, "STRING", oneof=0)
    field(message, "box", 10, "BYTES", oneof=0)
    field(message, "ratio", 11, "DOUBLE")
    field(message, "gift", 12, "BOOL")

    pool = descriptor_pool.Default()
    pool.Add(money)
    pool.Add(order)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))
    nested = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order.Line"))
    return made, nested
