#!/usr/bin/env bash
# Quix Streams 3.28.1: a topic to Kinesis by its own sink. Its batches have 500 records, as Kinesis allows.
set -euo pipefail
export AWS_EC2_METADATA_DISABLED=true
cat >events_out.py <<'PYTHON'
import os

from quixstreams import Application
from quixstreams.sinks.community.kinesis import KinesisSink

app = Application(
    broker_address=os.environ["BENCH_BROKERS"],
    consumer_group=f"bench-quixstreams-{os.getpid()}-{os.environ['BENCH_TOPIC']}",
    auto_offset_reset="earliest",
    consumer_extra_config={"session.timeout.ms": 6000},
    loglevel="WARNING",
)
sink = KinesisSink(
    stream_name="bench",
    aws_endpoint_url=os.environ["BENCH_ENDPOINT"],
    aws_access_key_id="bench",
    aws_secret_access_key="bench",
    region_name="us-east-1",
)
app.dataframe(app.topic(os.environ["BENCH_TOPIC"], value_deserializer="json")).sink(sink)
app.run(count=int(os.environ["BENCH_EVENTS"]), timeout=60)
PYTHON
exec python events_out.py
