#!/usr/bin/env bash
# faucet 1.0.1: pipelines as code, in Rust. Requests of 75 rows from ten tasks, its default, as is no retry, which
# it asks for all the same.
set -euo pipefail
cat >pipeline.yaml <<YAML
version: 1
name: rows_in
pipeline:
  source:
    type: postgres
    config:
      connection_url: postgresql://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE?sslmode=disable
      query: >-
        SELECT event_name AS name, user_id AS external_id, event_timestamp::text AS time, event_data AS properties
        FROM bench_events
  sink:
    type: http
    config:
      url: $BENCH_ENDPOINT
      method: POST
      auth: { type: none }
      batch_mode: { type: Array }
      batch_size: 75
      concurrency: 10
      max_retries: 0
YAML
exec faucet run pipeline.yaml
