#!/usr/bin/env python
# opensearch-py 3.2.0 sends the events of a file by `parallel_bulk`, its helper for much of them, in requests as large as
# those of Tidegate.

import datetime
import json
import os

from opensearchpy import OpenSearch
from opensearchpy.helpers import parallel_bulk


def documents():
    with open(os.environ["BENCH_FILE"]) as lines:
        for line in lines:
            event = json.loads(line)
            at = datetime.datetime.fromtimestamp(event["timestamp"] / 1000, datetime.timezone.utc).isoformat()
            yield {"_op_type": "create", "_index": "bench", "_id": event["id"], "@timestamp": at, "payload": event}


sent = sum(ok for ok, _ in parallel_bulk(OpenSearch(os.environ["BENCH_ENDPOINT"]), documents(), chunk_size=2000))
assert sent == int(os.environ["BENCH_ROWS"]), sent
