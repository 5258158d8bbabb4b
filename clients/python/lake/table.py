"""Makes and changes Delta tables with delta-rs, an implementation that is not ours.

usage: table.py make PATH FIRST LAST [PROPERTY=VALUE ...]   rows of id, name, total, at, day; by day
       table.py append PATH FIRST LAST
       table.py update PATH ID NAME
       table.py delete PATH ID
       table.py widen PATH FIRST LAST                       appends rows with one more column
       table.py checkpoint PATH

Prints the version of the table afterwards. Environment: AWS_… for tables in a bucket.
"""

import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake


def rows(first: str, last: str, more: bool = False) -> pa.Table:
    ids = list(range(int(first), int(last) + 1))
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    columns = {
        "id": pa.array(ids, pa.int64()),
        "name": pa.array([f"name {number}" for number in ids]),
        "total": pa.array([Decimal(number) / 100 for number in ids], pa.decimal128(9, 2)),
        "at": pa.array([noon + timedelta(minutes=number) for number in ids], pa.timestamp("us", "UTC")),
        "day": pa.array([f"2026-03-0{number % 3 + 1}" for number in ids]),
    }
    if more:
        columns["plan"] = pa.array(["gold"] * len(ids))
    return pa.table(columns)


def main() -> None:
    action, path, *rest = sys.argv[1:]
    if action == "make":
        properties = dict(property.split("=") for property in rest[2:])
        write_deltalake(path, rows(*rest[:2]), partition_by=["day"], configuration=properties)
    elif action == "append":
        write_deltalake(path, rows(*rest), mode="append")
    elif action == "widen":
        write_deltalake(path, rows(*rest, more=True), mode="append", schema_mode="merge")
    elif action == "update":
        DeltaTable(path).update(predicate=f"id = {rest[0]}", new_values={"name": rest[1]})
    elif action == "delete":
        DeltaTable(path).delete(f"id = {rest[0]}")
    elif action == "checkpoint":
        DeltaTable(path).create_checkpoint()
    print(DeltaTable(path).version())


main()
