"""What the tests ask AWS's own client to find."""

import json
import sys

import boto3

TINY = {"aws_access_key_id": "reader", "aws_secret_access_key": "reader"}


def client(service: str):
    """A client of the service at the address that the program was started with."""
    return boto3.client(service, region_name="us-east-1", endpoint_url=sys.argv[1], **TINY)


def expected() -> list[dict]:
    """One event a line on standard input: `data`, and what else the reader looks at."""
    return [json.loads(line) for line in sys.stdin if line.strip()]


def prove(what: str, found: object, wanted: object = True) -> None:
    """Prints `what` when it holds; ends the program when it does not."""
    if found != wanted:
        sys.exit(f"DIFFERS  {what}\n  expected {wanted!r}"[:2000] + f"\n  found    {found!r}"[:2000])
    print(f"ok  {what}")
