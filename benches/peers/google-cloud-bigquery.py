#!/usr/bin/env python
# google-cloud-bigquery 3.47.0 runs the query and makes rows of the pages, as its documentation begins: without the
# Storage Read API, and without pandas. With BENCH_BRAZE the rows are posted as events (braze.py).

import os

import braze
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

client = bigquery.Client("bench", AnonymousCredentials(), client_options={"api_endpoint": os.environ["BENCH_ENDPOINT"]})
answer = client.query("SELECT id, event_name, user_id, event_timestamp, event_data FROM bench.events").result()
braze.take(row.values() for row in answer)
