#!/usr/bin/env python
# snowflake-connector-python 4.8.1 runs the statement over the protocol of Snowflake's drivers, whose chunks are Arrow,
# and makes rows of them in its compiled part. With BENCH_BRAZE the rows are posted as events (braze.py).

import os
import urllib.parse

import braze
import snowflake.connector

address = urllib.parse.urlsplit(os.environ["BENCH_ENDPOINT"])
connection = snowflake.connector.connect(
    user="bench", password="bench", account="bench", protocol="http", host=address.hostname, port=address.port,
    session_parameters={"PYTHON_CONNECTOR_QUERY_RESULT_FORMAT": "arrow"},
)
cursor = connection.cursor().execute("SELECT id, event_name, user_id, event_timestamp, event_data FROM bench.public.events")
braze.take(cursor)
