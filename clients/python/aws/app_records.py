"""Holds what an event stream delivered against the documented record of an app's event, field by field.

usage: app_records.py kinesis|firehose ENDPOINT NAME APP SENDER

SENDER is `boto3` or `node`: the program of this folder's neighbours whose events are expected.
Source of the shape: Amazon Pinpoint developer guide, event streams, app events.
"""

import datetime
import json
import sys
import time

import boto3
from expected import prove
from stream import read_firehose, read_kinesis

AT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
AT_MS = round(AT.timestamp() * 1000)
SECONDS = 30

ENVELOPE = {
    "event_type": str,
    "event_timestamp": int,
    "arrival_timestamp": int,
    "event_version": str,
    "application": dict,
    "client": dict,
    "device": dict,
    "session": dict,
    "attributes": dict,
    "metrics": dict,
    "awsAccountId": str,
}


def shape(record: dict) -> None:
    """What every record has, whoever sent its event."""
    kind = record["event_type"]
    wrong = {name: record.get(name) for name, kind in ENVELOPE.items() if type(record.get(name)) is not kind}
    prove(f"{kind}: every member of the envelope is there and of its type", wrong, {})
    prove(f"{kind}: an app's own record also has the endpoint", set(record) - set(ENVELOPE), {"endpoint"})
    prove(f"{kind}: its version", record["event_version"], "3.1")
    prove(f"{kind}: when it happened", record["event_timestamp"], AT_MS)
    late = time.time() * 1000 - record["arrival_timestamp"]
    prove(f"{kind}: when it arrived, in milliseconds", 0 <= late < 600_000)
    prove(f"{kind}: the account", (len(record["awsAccountId"]), record["awsAccountId"].isdigit()), (12, True))
    prove(f"{kind}: attributes are text", {type(value) for value in record["attributes"].values()} <= {str})
    prove(f"{kind}: metrics are numbers", {type(value) for value in record["metrics"].values()} <= {int, float})
    prove(f"{kind}: a platform and an SDK, be they empty", (
        type(record["device"]["platform"]), type(record["application"]["sdk"])), (dict, dict))


def purchase(record: dict, app: str, sender: str) -> None:
    prove("the attributes", record["attributes"], {"sku": "coffee"})
    prove("the metrics", record["metrics"], {"price": 4.25})
    prove("the client is the endpoint", record["client"], {"client_id": "phone"})
    endpoint = record["endpoint"]
    channel = {"boto3": "GCM", "node": "APNS"}[sender]
    found = [endpoint[name] for name in ("Id", "ApplicationId", "ChannelType", "Address", "EndpointStatus", "OptOut")]
    prove("the endpoint, whole", found, ["phone", app, channel, "token-1", "ACTIVE", "NONE"])
    if sender == "boto3":
        prove("the application", record["application"], {
            "app_id": app,
            "package_name": "com.example.shop",
            "sdk": {"name": "boto3", "version": boto3.__version__},
        })
        prove("the device", record["device"], {
            "locale": {"code": "en_US", "country": "US", "language": "en"},
            "platform": {"name": "android", "version": "16"},
        })
        prove("the session", record["session"], {"session_id": "s1", "start_timestamp": AT_MS, "duration": 1000})
    else:
        prove("the application", record["application"], {"app_id": app, "sdk": {}})
        prove("the device", record["device"], {"platform": {}})
        prove("the session", record["session"], {"session_id": "s1", "start_timestamp": AT_MS})


def visit(record: dict, app: str) -> None:
    prove("a visit of nobody has empty parts", [record[name] for name in ("session", "attributes", "metrics")], [{}] * 3)
    prove("its client", record["client"], {"client_id": "web"})
    prove("its application", record["application"], {"app_id": app, "sdk": {}})


def main() -> None:
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    kind, endpoint, name, app, sender = sys.argv[1:]
    read = {"kinesis": read_kinesis, "firehose": read_firehose}[kind]
    kinds = {"boto3": ["_session.start", "purchase"], "node": ["purchase"]}[sender]
    until = time.monotonic() + SECONDS
    while True:
        records = [(record["key"], json.loads(record["data"])) for record in read(endpoint, name)]
        records = {record["event_type"]: (key, record) for key, record in records if record["application"]["app_id"] == app}
        if len(records) >= len(kinds) or time.monotonic() > until:
            break
        time.sleep(0.1)
    prove("what was accepted arrived, and what was refused did not", sorted(records), kinds)
    for _, record in records.values():
        shape(record)
    key, record = records["purchase"]
    purchase(record, app, sender)
    if kind == "kinesis":
        prove("the partition key is the user", key, record["endpoint"]["User"]["UserId"])
    if sender == "boto3":
        visit(records["_session.start"][1], app)


if __name__ == "__main__":
    main()
