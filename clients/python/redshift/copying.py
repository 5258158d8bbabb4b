"""`COPY` of JSON files out of S3, which moto plays.

Source: Amazon Redshift Database Developer Guide, `COPY`. Only the form that is written here is known.
"""

import gzip
import json
import re
import urllib.error
import urllib.request

from dialect import Refused

COPY = re.compile(
    r"\s*COPY\s+(?P<table>\w+)\s+FROM\s+'s3://(?P<path>[^']+)'\s+IAM_ROLE\s+(?P<role>default|'arn:aws:iam::[^']+')"
    r"(?:\s+REGION\s+'[-\w]+')?\s+FORMAT\s+AS\s+JSON\s+'auto'\s+GZIP\s+TIMEFORMAT\s+'auto'\s+DATEFORMAT\s+'auto'\s*;?\s*$",
    re.I,
)
TEXT_MAX, ROW_MAX = 65535, 4_000_000
# Moto does not prove a signature.
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"}


def fetched(s3, path):
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{s3}/{path}", headers=SIGNED)) as answer:
            return gzip.decompress(answer.read()).decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise Refused("XX000", f"The specified S3 prefix '{path.split('/', 1)[-1]}' does not exist") from error
        raise Refused("XX000", f"S3ServiceException: {error.reason}, Status {error.code}") from error


def copied(s3, sql):
    """Returns the statement that inserts what a COPY reads; None for any other statement."""
    found = COPY.match(sql)
    if not found:
        return None
    rows = fetched(s3, found["path"]).splitlines()
    for row in rows:
        if len(row.encode()) > ROW_MAX or any(len(text.encode()) > TEXT_MAX for text in json.loads(row).values() if isinstance(text, str)):
            raise Refused("XX000", f"Load into table '{found['table']}' failed. Check 'sys_load_error_detail' system table for details.")
    table = found["table"]
    # A backslash escapes in this session.
    text = f"[{','.join(rows)}]".replace("\\", "\\\\").replace("'", "''")
    return f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, '{text}')"
