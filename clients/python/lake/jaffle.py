"""The café's year in Delta tables, made by delta-rs and asked by DuckDB.

usage: jaffle.py append FOLDER CSVS FROM TO   orders and tweets of these days of the year, from 1, as one
                                              commit each; makes the tables with a change data feed
       jaffle.py ask FOLDER SQL               prints the rows of a query as JSON lists of texts;
                                              {orders} and {tweets} stand for the tables
"""

import json
import sys
from pathlib import Path

import duckdb
import duckdb_extension_delta
from deltalake import write_deltalake

TABLES = {
    "orders": "id, customer, timezone('UTC', ordered_at) AS ordered_at, order_total",
    "tweets": "id, user_id, timezone('UTC', tweeted_at) AS tweeted_at, content",
}
TIMES = {"orders": "ordered_at", "tweets": "tweeted_at"}


def append(folder: str, csvs: str, first: str, last: str) -> None:
    for table, columns in TABLES.items():
        rows = duckdb.sql(
            f"SET TimeZone = 'UTC'; SELECT {columns} FROM read_csv('{csvs}/{table}.csv') "
            f"WHERE date_diff('day', DATE '2018-09-01', {TIMES[table]}::DATE) + 1 BETWEEN {first} AND {last}"
        ).to_arrow_table()
        feed = {"delta.enableChangeDataFeed": "true"}
        write_deltalake(f"{folder}/{table}", rows, mode="append", configuration=feed)


def ask(folder: str, sql: str) -> None:
    connection = duckdb.connect()
    # The extension was installed as a Python package: nothing is fetched.
    folder_of_extension = Path(duckdb_extension_delta.__file__).parent
    connection.load_extension(str(next(folder_of_extension.rglob("*.duckdb_extension"))))
    connection.execute("SET TimeZone = 'UTC'")
    named = {table: f"delta_scan('{folder}/{table}')" for table in TABLES}
    for row in connection.sql(sql.format(**named)).fetchall():
        print(json.dumps([str(cell) for cell in row]))


{"append": append, "ask": ask}[sys.argv[1]](*sys.argv[2:])
