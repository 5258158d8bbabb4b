"""Prints the event ids that a table or a folder of files holds, one a line, with their kinds.

usage: ids.py delta   TABLE     reads with deltalake
       ids.py parquet FOLDER    reads with pyarrow
       ids.py jsonl   FOLDER    reads with DuckDB

An id that is there twice is printed twice.
"""

import os
import sys

import deltalake
import duckdb
import pyarrow.dataset

COLUMNS = ["event_id", "event_kind"]


def delta(table: str):
    return deltalake.DeltaTable(table).to_pyarrow_table(columns=COLUMNS).to_pylist()


def parquet(folder: str):
    return pyarrow.dataset.dataset(folder, partitioning="hive").to_table(columns=COLUMNS).to_pylist()


def jsonl(folder: str):
    files = f"{folder}/**/*.jsonl"
    found = duckdb.execute("SELECT event_id, event_kind FROM read_json($files, format = 'nd')", {"files": files})
    return [dict(zip(COLUMNS, row)) for row in found.fetchall()]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    form, place = sys.argv[1:]
    for row in {"delta": delta, "parquet": parquet, "jsonl": jsonl}[form](place):
        print(row["event_id"], row["event_kind"])
    sys.stdout.flush()
    # The readers' threads may still run, and an orderly end that meets one aborts.
    os._exit(0)


if __name__ == "__main__":
    main()
