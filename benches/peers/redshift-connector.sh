#!/usr/bin/env bash
# redshift_connector 2.2.0 runs the statement as its documentation begins, and holds all rows before the first one is
# used. With BENCH_BRAZE the rows are posted as events (braze.py).
set -euo pipefail
PYTHONPATH=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH
cat >redshift_connector_rows.py <<'PYTHON'
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
if braze.BRAZE:
    braze.post(row[1:] for row in cursor)
else:
    rows = sum(len(row) for row in cursor) // 5
    assert rows == braze.ROWS, rows
PYTHON
exec python redshift_connector_rows.py
