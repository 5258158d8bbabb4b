#!/usr/bin/env python
# redshift_connector 2.2.0 runs the statement as its documentation begins, and holds all rows before the first one is
# used. With BENCH_BRAZE the rows are posted as events (braze.py).

import os
import urllib.parse

import braze
import redshift_connector

address = urllib.parse.urlsplit(os.environ["BENCH_ENDPOINT"])
connection = redshift_connector.connect(
    host=address.hostname, port=address.port, database="bench", user="bench", password="bench", ssl=False,
)
cursor = connection.cursor()
cursor.execute("SELECT id, event_name, user_id, event_timestamp, event_data FROM bench.events")
braze.take(cursor)
