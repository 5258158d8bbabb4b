"""Drives the calls of boto3's `pinpoint` client that the data plane serves.

usage: pinpoint_client.py http://127.0.0.1:PORT[/in/pinpoint/NAME]

environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY sign; with SIGNED, a wrong
secret must be refused; with STREAM_ARN, an event stream to it stays behind.
"""

import os

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError
from sandbox import Sandbox, prove, prove_refused

TIME = "2026-01-02T03:04:05.678Z"
ROLE = "arn:aws:iam::123456789012:role/event-streams"
STREAM = os.environ.get("STREAM_ARN", "arn:aws:kinesis:us-east-1:123456789012:stream/clicks")


def connect(url: str, **credentials: str) -> BaseClient:
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client("pinpoint", region_name="us-east-1", endpoint_url=url, config=once, **credentials)


def code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def streams(client: BaseClient, app: str) -> None:
    prove_refused(
        "an app has no event stream at first",
        client.exceptions.NotFoundException,
        lambda: client.get_event_stream(ApplicationId=app),
    )
    wanted = {"DestinationStreamArn": STREAM, "RoleArn": ROLE}
    put = client.put_event_stream(ApplicationId=app, WriteEventStream=wanted)["EventStream"]
    prove("an event stream is set", (put["DestinationStreamArn"], put["RoleArn"]), (STREAM, ROLE))
    read = client.get_event_stream(ApplicationId=app)["EventStream"]
    prove("and read back", read, put)
    refused = prove_refused(
        "one that leads nowhere is refused",
        client.exceptions.BadRequestException,
        lambda: client.put_event_stream(
            ApplicationId=app, WriteEventStream={"DestinationStreamArn": "arn:aws:sqs:x", "RoleArn": ROLE}
        ),
    )
    prove("with a sentence", "DestinationStreamArn" in refused.response["Error"]["Message"])


def events(client: BaseClient, app: str, user: str) -> None:
    event = {
        "EventType": "purchase",
        "Timestamp": TIME,
        "Attributes": {"sku": "coffee"},
        "Metrics": {"price": 4.25},
        "Session": {"Id": "s1", "StartTimestamp": TIME, "Duration": 1000},
        "AppPackageName": "com.example.shop",
        "SdkName": "boto3",
        "ClientSdkVersion": boto3.__version__,
    }
    endpoint = {
        "ChannelType": "GCM",
        "Address": "token-1",
        "Demographic": {"Locale": "en_US", "Platform": "android", "PlatformVersion": "16"},
        "User": {"UserId": user, "UserAttributes": {"plan": ["pro"]}},
    }
    too_long = {**event, "Attributes": {"sku": "x" * 201}}
    answer = client.put_events(
        ApplicationId=app,
        EventsRequest={
            "BatchItem": {
                "phone": {"Endpoint": endpoint, "Events": {"good": event, "bad": too_long}},
                "web": {"Endpoint": {}, "Events": {"visit": {"EventType": "_session.start", "Timestamp": TIME}}},
            }
        },
    )
    prove("PutEvents answers 202", answer["ResponseMetadata"]["HTTPStatusCode"], 202)
    results = answer["EventsResponse"]["Results"]
    codes = {
        (endpoint, event): status["StatusCode"]
        for endpoint, item in results.items()
        for event, status in item["EventsItemResponse"].items()
    }
    expected = {("phone", "good"): 202, ("phone", "bad"): 400, ("web", "visit"): 202}
    prove("each event has a status code of its own", codes, expected)
    prove("each endpoint has one, too", {item["EndpointItemResponse"]["StatusCode"] for item in results.values()}, {202})

    many = {f"e{number}": event for number in range(101)}
    refused = prove_refused(
        "101 events are refused",
        client.exceptions.BadRequestException,
        lambda: client.put_events(
            ApplicationId=app, EventsRequest={"BatchItem": {"phone": {"Endpoint": {}, "Events": many}}}
        ),
    )
    prove("with a request id", bool(refused.response["RequestID"]))


def endpoints(client: BaseClient, app: str, user: str) -> None:
    read = client.get_endpoint(ApplicationId=app, EndpointId="phone")["EndpointResponse"]
    prove("PutEvents left an endpoint", (read["Address"], read["User"]["UserId"]), ("token-1", user))
    body = client.update_endpoint(
        ApplicationId=app,
        EndpointId="a b/ü",
        EndpointRequest={"ChannelType": "EMAIL", "Address": "a@example.com", "User": {"UserId": user}},
    )["MessageBody"]
    prove("UpdateEndpoint answers with a message", body["Message"], "Accepted")
    client.update_endpoints_batch(
        ApplicationId=app,
        EndpointBatchRequest={"Item": [{"Id": "a b/ü", "OptOut": "ALL", "Attributes": {"likes": ["tea", "cake"]}}]},
    )
    read = client.get_endpoint(ApplicationId=app, EndpointId="a b/ü")["EndpointResponse"]
    found = (read["Address"], read["OptOut"], read["Attributes"])
    prove("a batch adds to it", found, ("a@example.com", "ALL", {"likes": ["tea", "cake"]}))
    item = client.get_user_endpoints(ApplicationId=app, UserId=user)["EndpointsResponse"]["Item"]
    prove("a user has both", {endpoint["Id"] for endpoint in item}, {"phone", "a b/ü"})
    client.delete_endpoint(ApplicationId=app, EndpointId="phone")
    client.delete_user_endpoints(ApplicationId=app, UserId=user)
    prove_refused(
        "and afterwards none",
        client.exceptions.NotFoundException,
        lambda: client.get_user_endpoints(ApplicationId=app, UserId=user),
    )


def signatures(url: str, app: str) -> None:
    stranger = connect(url, aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong")
    refused = prove_refused(
        "a wrong secret is refused", ClientError, lambda: stranger.get_event_stream(ApplicationId=app)
    )
    prove("with a 403", refused.response["ResponseMetadata"]["HTTPStatusCode"], 403)
    prove("that names the signature", code(refused), "InvalidSignatureException")


def main() -> None:
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "tidegate")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "tidegate")
    place = Sandbox()
    app, user = place.id("app").replace("-", ""), place.id("user")
    client = connect(place.url)
    streams(client, app)
    events(client, app, user)
    endpoints(client, app, user)
    if "SIGNED" in os.environ:
        signatures(place.url, app)
    if "STREAM_ARN" not in os.environ:
        gone = client.delete_event_stream(ApplicationId=app)["EventStream"]
        prove("a deleted event stream comes back once more", gone["ApplicationId"], app)
    print(f"app {app}")


if __name__ == "__main__":
    main()
