"""Reads a Kinesis stream with boto3 and holds it against standard input.

usage: kinesis.py ENDPOINT STREAM < events.jsonl
"""

import collections
import hashlib
import sys

from expected import client, expected, prove

kinesis = client("kinesis")
stream = sys.argv[2]

shards = kinesis.list_shards(StreamName=stream)["Shards"]
found = []
for shard in shards:
    first = {"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    place = kinesis.get_shard_iterator(**first)["ShardIterator"]
    while place:
        page = kinesis.get_records(ShardIterator=place, Limit=10000)
        found += [(shard, record) for record in page["Records"]]
        if not page["Records"]:
            break
        place = page["NextShardIterator"]

wanted = expected()
data = collections.Counter((r["Data"].decode(), r["PartitionKey"]) for _, r in found)
prove("every record is there once, with its data and its key",
      data, collections.Counter((event["data"], event["key"]) for event in wanted))


def hash_of(key: str) -> int:
    return int.from_bytes(hashlib.md5(key.encode()).digest(), "big")


def holds(shard: dict, key: str) -> bool:
    range_ = shard["HashKeyRange"]
    return int(range_["StartingHashKey"]) <= hash_of(key) <= int(range_["EndingHashKey"])


prove("each record is in the shard of its key",
      all(holds(shard, record["PartitionKey"]) for shard, record in found))


def by_key(pairs):
    order = collections.defaultdict(list)
    for key, value in pairs:
        order[key].append(value)
    return order


prove("the records of each key keep their order",
      by_key((r["PartitionKey"], r["Data"].decode()) for _, r in found),
      by_key((event["key"], event["data"]) for event in wanted))
