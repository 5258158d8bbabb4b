#!/usr/bin/env bash
# snowflake-connector-python 4.8.1 runs the statement over the protocol of Snowflake's drivers, whose chunks are Arrow,
# and makes rows of them in its compiled part.
set -euo pipefail
cat >snowflake_connector_rows.py <<'PYTHON'
import os
import urllib.parse

import snowflake.connector

address = urllib.parse.urlsplit(os.environ["BENCH_ENDPOINT"])
connection = snowflake.connector.connect(
    user="bench", password="bench", account="bench", protocol="http", host=address.hostname, port=address.port,
    session_parameters={"PYTHON_CONNECTOR_QUERY_RESULT_FORMAT": "arrow"},
)
cursor = connection.cursor().execute("SELECT id, event_name, user_id, event_timestamp, event_data FROM bench.public.events")
rows = sum(len(row) for row in cursor) // 5
assert rows == int(os.environ["BENCH_ROWS"]), rows
PYTHON
exec python snowflake_connector_rows.py
