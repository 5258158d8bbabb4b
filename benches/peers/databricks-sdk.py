#!/usr/bin/env python
# databricks-sdk 0.162.0 runs the statement and names the parts; pyarrow makes rows of them. The SDK
# itself fetches no parts. With BENCH_BRAZE the rows are posted as events (braze.py).

import os

import braze
import lz4.frame
import pyarrow
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import Disposition, Format


def parts():
    client = WorkspaceClient(host=os.environ["BENCH_ENDPOINT"], token="bench").statement_execution
    answer = client.execute_statement(
        "SELECT id, event_name, user_id, event_timestamp, event_data FROM main.bench.events",
        "bench",
        disposition=Disposition.EXTERNAL_LINKS,
        format=Format.ARROW_STREAM,
        wait_timeout="30s",
    )
    session, links = requests.Session(), answer.result.external_links
    while True:
        body = session.get(links[0].external_link).content
        for batch in pyarrow.ipc.open_stream(lz4.frame.decompress(body)):
            yield batch.to_pylist()
        if links[0].next_chunk_index is None:
            return
        links = client.get_statement_result_chunk_n(answer.statement_id, links[0].next_chunk_index).external_links


braze.take((row for part in parts() for row in part), lambda row: tuple(row.values()))
