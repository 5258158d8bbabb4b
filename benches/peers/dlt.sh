#!/usr/bin/env bash
# dlt 1.31.0: a custom destination is its way of reverse ETL. Requests of 75 rows.
set -euo pipefail
export RUNTIME__DLTHUB_TELEMETRY=false
cat >rows_in.py <<'PYTHON'
import os

import dlt
import requests
from dlt.common.json import json
from dlt.sources.sql_database import sql_table

session = requests.Session()


@dlt.destination(batch_size=75, name="receiver")
def receiver(rows, table):
    events = [
        {
            "name": row["event_name"],
            "external_id": row["user_id"],
            "time": row["event_timestamp"],
            "properties": row["event_data"],
        }
        for row in rows
    ]
    answer = session.post(
        os.environ["BENCH_ENDPOINT"], json.dumpb({"events": events}), headers={"content-type": "application/json"}
    )
    answer.raise_for_status()


server = "postgresql+psycopg2://{PGUSER}:{PGPASSWORD}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**os.environ)
pipeline = dlt.pipeline("rows_in", destination=receiver, dataset_name="bench", pipelines_dir="state")
pipeline.run(sql_table(credentials=server, table="bench_events"))
PYTHON
exec python rows_in.py
