"""`UNLOAD` as Parquet with a manifest into S3, which moto plays.

Source: Amazon Redshift Database Developer Guide, `UNLOAD`, "Example manifest". Only the form that is written here is
known. Files have a few rows, so that there are several.
"""

import io
import json
import re
import struct
import urllib.error
import urllib.request

import pyarrow as pa
import pyarrow.parquet

from backend import fields_of
from copying import SIGNED
from dialect import Refused

UNLOAD = re.compile(
    r"\s*UNLOAD\s*\(\s*'(?P<query>(?:[^']|'')*)'\s*\)\s*TO\s+'s3://(?P<path>[^']+)'\s+"
    r"IAM_ROLE\s+(?P<role>default|'arn:aws:iam::[^']+')(?:\s+REGION\s+'[-\w]+')?\s+"
    r"FORMAT\s+AS\s+PARQUET\s+MANIFEST\s+MAXFILESIZE\s+(?P<size>\d+)\s+MB\s*;?\s*$",
    re.I,
)
ROWS_OF_FILE = 400
FLOAT8 = 701


def query(sql):
    """Returns the query that an UNLOAD runs; None for any other statement."""
    found = UNLOAD.match(sql)
    if not found:
        return None
    if not 5 <= int(found["size"]) <= 6348:
        raise Refused("XX000", "MAXFILESIZE has to be between 5 MB and 6.2 GB")
    return found["query"].replace("''", "'")


async def fetched(behind, sql):
    """Returns the types of the columns, their names, and the rows as texts."""
    behind.send(b"Q", sql.encode() + b"\0")
    await behind.writer.drain()
    names, types, rows, failed = [], [], [], None
    while True:
        kind, body = await behind.receive()
        if kind == b"T":
            names, types = columns(body)
        elif kind == b"D":
            rows.append(cells(body))
        elif kind == b"E":
            failed = fields_of(body)
        elif kind == b"Z":
            if failed:
                raise Refused(failed[b"C"].decode(), failed[b"M"].decode())
            return names, types, rows


def columns(body):
    (count,), at, names, types = struct.unpack_from("!h", body), 2, [], []
    for _ in range(count):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        types.append(struct.unpack_from("!IhIhih", body, end + 1)[2])
        at = end + 19
    return names, types


def cells(body):
    (count,), at, row = struct.unpack_from("!h", body), 2, []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, at)
        row.append(None if size < 0 else body[at + 4 : at + 4 + size].decode())
        at += 4 + max(size, 0)
    return row


def put(s3, path, content):
    request = urllib.request.Request(f"{s3}/{path}", data=content, headers=SIGNED | {"content-type": "application/octet-stream"}, method="PUT")
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        raise Refused("XX000", f"S3ServiceException: {error.reason}, Status {error.code}") from error


def written(s3, sql, names, types, rows):
    """Writes the files and their manifest."""
    path, entries = UNLOAD.match(sql)["path"], []
    for at in range(0, len(rows), ROWS_OF_FILE):
        part = list(zip(*rows[at : at + ROWS_OF_FILE]))
        arrays = [
            pa.array([None if cell is None else float(cell) for cell in column], pa.float64()) if kind == FLOAT8 else pa.array(column, pa.string())
            for column, kind in zip(part, types)
        ]
        out = io.BytesIO()
        pyarrow.parquet.write_table(pa.table(arrays, names=names), out, compression="snappy")
        name = f"{path}{len(entries):04}_part_00.parquet"
        put(s3, name, out.getvalue())
        entries.append({"url": f"s3://{name}", "meta": {"content_length": len(out.getvalue())}})
    put(s3, f"{path}manifest", json.dumps({"entries": entries}).encode())
