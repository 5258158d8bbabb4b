#!/usr/bin/env bash
# databricks-sdk 0.162.0 runs the statement and names the parts; pyarrow makes rows of them. The SDK
# itself fetches no parts.
set -euo pipefail
cat >databricks_sdk_rows.py <<'PYTHON'
import os

import lz4.frame
import pyarrow
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import Disposition, Format

client = WorkspaceClient(host=os.environ["BENCH_ENDPOINT"], token="bench").statement_execution
answer = client.execute_statement(
    "SELECT id, event_name, user_id, event_timestamp, event_data FROM main.bench.events",
    "bench",
    disposition=Disposition.EXTERNAL_LINKS,
    format=Format.ARROW_STREAM,
    wait_timeout="30s",
)
session, rows, links = requests.Session(), 0, answer.result.external_links
while True:
    body = session.get(links[0].external_link).content
    for batch in pyarrow.ipc.open_stream(lz4.frame.decompress(body)):
        rows += len(batch.to_pylist())
    if links[0].next_chunk_index is None:
        break
    links = client.get_statement_result_chunk_n(answer.statement_id, links[0].next_chunk_index).external_links
assert rows == int(os.environ["BENCH_ROWS"]), rows
PYTHON
exec python databricks_sdk_rows.py
