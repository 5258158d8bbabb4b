#!/usr/bin/env bash
# drt-core 1.2.1: reverse ETL as code. Requests of 75 rows, as everywhere in this bench.
set -euo pipefail
export HOME=$PWD DRT_PASSWORD=$PGPASSWORD
mkdir -p .drt syncs
printf 'name: bench\nprofile: default\n' >drt_project.yml
cat >.drt/profiles.yml <<YAML
default: { type: postgres, host: $PGHOST, port: $PGPORT, dbname: $PGDATABASE, user: $PGUSER, password_env: DRT_PASSWORD }
YAML
cat >syncs/rows_in.yml <<YAML
name: rows_in
model: >-
  select event_name as name, user_id as external_id, event_timestamp::text as time, event_data as properties
  from bench_events
destination:
  type: rest_api
  url: $BENCH_ENDPOINT
  method: POST
  headers: { Content-Type: application/json }
  body_mode: batch
  max_records_per_request: 75
  batch_template: '{"events": {{ rows | tojson }}}'
sync:
  mode: full
  batch_size: 75
  rate_limit: { requests_per_second: 1000000 }
YAML
exec drt run
