"""Types and results as the Statement Execution API writes them.

Held to recorded answers of real workspaces (databricks-jdbc, WireMock recordings): a BIGINT has the
`type_name` LONG, a DDL statement has no columns, a cell of JSON_ARRAY is text, and an Arrow stream is
one LZ4 frame or several.
"""

import base64
import datetime
import decimal
import io
import json

import lz4.frame
import pyarrow as pa
from pyspark.sql import types as spark

NAMES = {
    spark.BooleanType: ("BOOLEAN", "BOOLEAN"),
    spark.ByteType: ("BYTE", "TINYINT"),
    spark.ShortType: ("SHORT", "SMALLINT"),
    spark.IntegerType: ("INT", "INT"),
    spark.LongType: ("LONG", "BIGINT"),
    spark.FloatType: ("FLOAT", "FLOAT"),
    spark.DoubleType: ("DOUBLE", "DOUBLE"),
    spark.StringType: ("STRING", "STRING"),
    spark.BinaryType: ("BINARY", "BINARY"),
    spark.DateType: ("DATE", "DATE"),
    spark.TimestampType: ("TIMESTAMP", "TIMESTAMP"),
    spark.TimestampNTZType: ("TIMESTAMP_NTZ", "TIMESTAMP_NTZ"),
    spark.VariantType: ("VARIANT", "VARIANT"),
    spark.NullType: ("NULL", "VOID"),
}


def type_of(data_type):
    """The two names of a type: of the kind, and in full."""
    if isinstance(data_type, spark.DecimalType):
        return "DECIMAL", f"DECIMAL({data_type.precision},{data_type.scale})"
    if isinstance(data_type, spark.ArrayType):
        return "ARRAY", f"ARRAY<{type_of(data_type.elementType)[1]}>"
    if isinstance(data_type, spark.MapType):
        return "MAP", f"MAP<{type_of(data_type.keyType)[1]}, {type_of(data_type.valueType)[1]}>"
    if isinstance(data_type, spark.StructType):
        members = ", ".join(f"{field.name}: {type_of(field.dataType)[1]}" for field in data_type.fields)
        return "STRUCT", f"STRUCT<{members}>"
    if isinstance(data_type, (spark.YearMonthIntervalType, spark.DayTimeIntervalType)):
        return "INTERVAL", data_type.simpleString().upper()
    return NAMES[type(data_type)]


def columns(schema):
    described = []
    for position, field in enumerate(schema.fields):
        name, text = type_of(field.dataType)
        column = {"name": field.name, "position": position, "type_name": name, "type_text": text}
        if name == "DECIMAL":
            column |= {"type_precision": field.dataType.precision, "type_scale": field.dataType.scale}
        described.append(column)
    return described


def cell(value):
    """A cell of JSON_ARRAY: text, or null."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        shown = value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}"
        return shown + "Z" if value.tzinfo else shown
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return json.dumps(dict(value), default=cell)
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=cell)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return str(value)


def rows(table):
    """The cells of a table, row by row."""
    lists = [column.to_pylist() for column in table.columns]
    return [[cell(value) for value in row] for row in zip(*lists)]


def stream(table, frames=1):
    """A table as an Arrow stream in LZ4 frames."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    plain = sink.getvalue()
    size = -(-len(plain) // frames)
    pieces = [plain[at : at + size] for at in range(0, len(plain), size)]
    return plain, b"".join(lz4.frame.compress(piece) for piece in pieces)
