"""Reads the files of a history folder with pyarrow, Polars and DuckDB, and compares what they see.

usage: read.py FOLDER

Prints one JSON list: of each row its run, object, user, key, status, reason_code and reason, sorted.
Ends with exit code 1 where the three do not see the same.
"""

import json
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow.parquet

COLUMNS = ["run", "object", "user", "key", "status", "reason_code", "reason", "row_hash", "at"]


def by_pyarrow(files):
    for file in files:
        found = pyarrow.parquet.read_table(file, columns=COLUMNS)
        yield from zip(*(found.column(name).to_pylist() for name in COLUMNS))


def by_polars(files):
    return polars.read_parquet(files, columns=COLUMNS).select(COLUMNS).rows()


def by_duckdb(files):
    session = duckdb.connect()
    session.execute("SET TimeZone = 'UTC'")
    # `at` as text: the package that DuckDB needs for times with a zone is not there.
    columns = ", ".join(f'"{name}"' for name in COLUMNS[:-1])
    return session.execute(f"""SELECT {columns}, epoch_us("at") FROM read_parquet($files)""", {"files": files}).fetchall()


def plain(row):
    """A row that compares: the hash as digits, the time as microseconds since 1970."""
    *texts, row_hash, at = row
    micros = at if isinstance(at, int) else round(at.timestamp() * 1_000_000)
    return [*texts, bytes(row_hash).hex(), micros]


def main():
    files = sorted(str(file) for file in Path(sys.argv[1]).rglob("*.parquet"))
    answers = {}
    for reader, name in [(by_pyarrow, "pyarrow"), (by_polars, "polars"), (by_duckdb, "duckdb")]:
        answers[name] = sorted((plain(row) for row in reader(files)), key=lambda row: [text or "" for text in row[:7]] + row[7:])
    rows = answers["pyarrow"]
    for name, others in answers.items():
        if others != rows:
            different = next((pair for pair in zip(rows, others) if pair[0] != pair[1]), (len(rows), len(others)))
            print(f"pyarrow and {name} do not see the same: {different}", file=sys.stderr)
            sys.exit(1)
    print(json.dumps([row[:7] for row in rows]))


if __name__ == "__main__":
    main()
