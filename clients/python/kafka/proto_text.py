"""A Protobuf file descriptor as .proto text (proto3: what the tests use)."""

import base64
import binascii

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto

SCALARS = {
    getattr(FieldDescriptorProto, f"TYPE_{name.upper()}"): name
    for name in (
        "double float int64 uint64 int32 fixed64 fixed32 bool string bytes uint32 "
        "sfixed32 sfixed64 sint32 sint64"
    ).split()
}


def proto_text(schema: str) -> str:
    """Turns a descriptor in base64 into text; text stays as it is."""
    try:
        file = FileDescriptorProto.FromString(base64.b64decode(schema, validate=True))
    except binascii.Error:
        return schema
    lines = ['syntax = "proto3";']
    if file.package:
        lines.append(f"package {file.package};")
    lines += [f'import "{name}";' for name in file.dependency]
    for enum in file.enum_type:
        lines += enum_lines(enum)
    for message in file.message_type:
        lines += message_lines(message)
    return "\n".join(lines) + "\n"


def enum_lines(enum: EnumDescriptorProto) -> list[str]:
    return [f"enum {enum.name} {{", *(f"  {value.name} = {value.number};" for value in enum.value), "}"]


def message_lines(message: DescriptorProto) -> list[str]:
    maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    inner: list[str] = []
    for enum in message.enum_type:
        inner += enum_lines(enum)
    for nested in message.nested_type:
        if nested.name not in maps:
            inner += message_lines(nested)
    for field in message.field:
        if not in_oneof(field):
            inner.append(field_line(field, maps))
    for at, oneof in enumerate(message.oneof_decl):
        members = [field for field in message.field if in_oneof(field) and field.oneof_index == at]
        if members:
            inner += [f"oneof {oneof.name} {{", *(f"  {field_line(field, maps)}" for field in members), "}"]
    return [f"message {message.name} {{", *(f"  {line}" for line in inner), "}"]


def in_oneof(field: FieldDescriptorProto) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def field_line(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    entry = maps.get(field.type_name.rsplit(".", 1)[-1])
    if entry is not None:
        key, value = entry.field
        return f"map<{type_name(key)}, {type_name(value)}> {field.name} = {field.number};"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    before = "repeated " if repeated else "optional " if field.proto3_optional else ""
    return f"{before}{type_name(field)} {field.name} = {field.number};"


def type_name(field: FieldDescriptorProto) -> str:
    return SCALARS.get(field.type) or field.type_name
