"""Reads a Delta table with deltalake, Polars and DuckDB, and compares what they see.

usage: read.py TABLE

TABLE is a folder, or an address such as s3://bucket/table; for S3 the usual AWS_…
variables name the credentials, the region and, for a server of your own, AWS_ENDPOINT_URL.

Prints one JSON object: rows, ids (how many different ones), kinds (rows of each).
Ends with exit code 1 where the three do not see the same.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlparse

import deltalake
import duckdb
import duckdb_extension_delta
import duckdb_extension_httpfs
import polars


def options(table):
    if not table.startswith("s3://"):
        return None
    found = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    if found.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        found["AWS_ALLOW_HTTP"] = "true"
    return found


def seen(rows):
    """The rows, as (event_id, event_kind, event_date, device_type) each."""
    rows = sorted(rows)
    kinds = {}
    for _, kind, _, _ in rows:
        kinds[kind] = kinds.get(kind, 0) + 1
    return rows, {"rows": len(rows), "ids": len({row[0] for row in rows}), "kinds": dict(sorted(kinds.items()))}


COLUMNS = ["event_id", "event_kind", "event_date", "device_type"]


def by_deltalake(table):
    found = deltalake.DeltaTable(table, storage_options=options(table)).to_pyarrow_table(columns=COLUMNS)
    return zip(*(found.column(name).to_pylist() for name in COLUMNS))


def by_polars(table):
    return polars.scan_delta(table, storage_options=options(table)).select(COLUMNS).collect().rows()


def by_duckdb(table):
    session = duckdb.connect()
    # The extensions were installed as Python packages: nothing is fetched.
    for package in (duckdb_extension_httpfs, duckdb_extension_delta):
        session.load_extension(str(next(Path(package.__file__).parent.rglob("*.duckdb_extension"))))
    if table.startswith("s3://"):
        endpoint = urlparse(os.environ.get("AWS_ENDPOINT_URL", "https://s3.amazonaws.com"))
        session.execute(
            "CREATE SECRET lake (TYPE s3, KEY_ID $key, SECRET $secret, REGION $region, ENDPOINT $endpoint, "
            "URL_STYLE 'path', USE_SSL $tls)",
            {
                "key": os.environ["AWS_ACCESS_KEY_ID"],
                "secret": os.environ["AWS_SECRET_ACCESS_KEY"],
                "region": os.environ.get("AWS_REGION", "us-east-1"),
                "endpoint": endpoint.netloc,
                "tls": endpoint.scheme == "https",
            },
        )
    return session.execute(f"SELECT {', '.join(COLUMNS)} FROM delta_scan($table)", {"table": table}).fetchall()


def main():
    table = sys.argv[1]
    answers = {}
    for reader, name in [(by_deltalake, "deltalake"), (by_polars, "polars"), (by_duckdb, "duckdb")]:
        answers[name] = seen([(r[0], r[1], str(r[2]), r[3]) for r in reader(table)])
    rows, summary = answers["deltalake"]
    for name, (others, other) in answers.items():
        if others != rows:
            print(f"{name} sees {other}, and deltalake sees {summary}", file=sys.stderr)
            sys.exit(1)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
