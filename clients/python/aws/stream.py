"""Makes streams with boto3, and prints what they hold.

usage: stream.py make kinesis  ENDPOINT NAME [SHARDS]
       stream.py make firehose ENDPOINT NAME    leads to a new bucket of the same name
       stream.py read kinesis  ENDPOINT NAME
       stream.py read firehose ENDPOINT NAME

`read` prints one record a line, shard by shard in order: a JSON object of `key` and `data`.
"""

import json
import sys

import boto3

ROLE = "arn:aws:iam::123456789012:role/firehose"


def client(service: str, endpoint: str):
    names = {"aws_access_key_id": "reader", "aws_secret_access_key": "reader", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=endpoint, **names)


def make_kinesis(endpoint: str, name: str, shards: str = "2") -> None:
    kinesis = client("kinesis", endpoint)
    kinesis.create_stream(StreamName=name, ShardCount=int(shards))
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def make_firehose(endpoint: str, name: str) -> None:
    client("s3", endpoint).create_bucket(Bucket=name)
    client("firehose", endpoint).create_delivery_stream(
        DeliveryStreamName=name,
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{name}"},
    )


def read_kinesis(endpoint: str, name: str):
    kinesis = client("kinesis", endpoint)
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        first = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        place = kinesis.get_shard_iterator(**first)["ShardIterator"]
        while place:
            page = kinesis.get_records(ShardIterator=place, Limit=10000)
            for record in page["Records"]:
                yield {"key": record["PartitionKey"], "data": record["Data"].decode()}
            # A page may be empty before the end is reached.
            if not page["Records"] and page["MillisBehindLatest"] == 0:
                break
            place = page.get("NextShardIterator")


def read_firehose(endpoint: str, name: str):
    s3 = client("s3", endpoint)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", []):
            text = s3.get_object(Bucket=name, Key=found["Key"])["Body"].read().decode()
            if not text.endswith("\n"):
                sys.exit(f"{found['Key']} ends without a line break")
            for line in text.splitlines():
                yield {"key": None, "data": line}


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    action, kind, *place = sys.argv[1:]
    if action == "make":
        {"kinesis": make_kinesis, "firehose": make_firehose}[kind](*place)
        return
    for record in {"kinesis": read_kinesis, "firehose": read_firehose}[kind](*place):
        print(json.dumps(record))


if __name__ == "__main__":
    main()
