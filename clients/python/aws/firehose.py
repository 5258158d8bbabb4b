"""Reads with boto3 what Firehose put into a bucket and holds it against standard input.

usage: firehose.py ENDPOINT BUCKET < events.jsonl
"""

import json
import sys

from expected import client, expected, prove

s3 = client("s3")
bucket = sys.argv[2]

files = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
text = "".join(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in files)
lines = text.split("\n")

prove("the last line has its line break", lines.pop(), "")
prove("every line is one event", all(isinstance(json.loads(line), dict) for line in lines))
prove("every event is there once, as it was sent", sorted(lines), sorted(event["data"] for event in expected()))
