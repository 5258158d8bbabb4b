"""Two clients of the SQL API, by other authors, against the double. Their addresses are fixed to Snowflake's
domain, so the address of the double is put in its place.

usage: others.py ADDRESS KEYFILE
"""

import datetime
import decimal
import json
import sys
import urllib.request
import uuid

import snowflake_rest
import snowflake_sql_api

ADDRESS, KEY = sys.argv[1], sys.argv[2]
USER = f"CLIENT_{uuid.uuid4().hex[:8]}".upper()
COMMON = {"account": "tide-gate", "user": USER, "private_key_path": KEY, "database": "SHOP", "schema": "PUBLIC", "warehouse": "TIDEGATE_WH"}


def ok(what, holds):
    if not holds:
        sys.exit(f"NOT {what}")
    print("ok ", what)


def control(**given):
    request = urllib.request.Request(f"{ADDRESS}/_double/{USER}", json.dumps(given).encode(), method="PUT")
    return json.load(urllib.request.urlopen(request))


def sql_api():
    client = snowflake_sql_api.SnowflakeClient(**COMMON)
    client._transport._base_url = ADDRESS
    return client


def rest():
    client = snowflake_rest.SnowflakeClient(**COMMON, poll_interval=0.05)
    client._base_url = f"{ADDRESS}/api/v2/statements"
    return client


TABLE = f"T_{uuid.uuid4().hex[:8]}".upper()


def both(name, client, error):
    ok(f"{name} logs in with a key pair and reads a number", client.query_scalar("SELECT 1 AS N") == 1)
    control(rows_per_part=40)
    rows = client.query(f"SELECT * FROM {TABLE} ORDER BY ID")
    ok(f"{name} reads all partitions in order", [row["ID"] for row in rows] == list(range(250)))
    ok(f"{name} reads decimals digit for digit", rows[7]["TOTAL"] == decimal.Decimal("7.50"))
    ok(f"{name} binds values", client.query_scalar(f"SELECT COUNT(*) FROM {TABLE} WHERE ID >= ? AND NOTE = ?", [3, "n7"]) == 1)
    control(pending=2)
    ok(f"{name} waits for a statement that is answered with 202", client.query_scalar("SELECT 2 AS N") == 2)
    control()
    ok(f"{name} is told how many rows were inserted", client.execute(f"INSERT INTO {TABLE} (ID) SELECT 1000") == 1)
    client.execute(f"DELETE FROM {TABLE} WHERE ID = 1000")
    try:
        client.query("SELECT AFAF FROM " + TABLE)
    except error as cause:
        ok(f"{name} is told what is wrong", "AFAF" in str(cause))
    else:
        ok(f"{name} is told what is wrong", False)
    return rows


def main():
    first = sql_api()
    first.execute(f"CREATE TABLE {TABLE} (ID NUMBER(38,0), TOTAL NUMBER(9,2), NOTE VARCHAR, DAY DATE, AT_NTZ TIMESTAMP_NTZ(9), AT_LTZ TIMESTAMP_LTZ(9), DOC VARIANT)")
    first.execute(
        f"INSERT INTO {TABLE} SELECT SEQ4(), SEQ4() + 0.5, 'n' || SEQ4(), '2026-03-01', '2026-03-01 12:00:00.123456', '2026-03-01 12:00:00.123456Z', "
        "PARSE_JSON('{\"a\": [1, null]}') FROM TABLE(GENERATOR(ROWCOUNT => 250))"
    )
    rows = both("snowflake-sql-api", first, snowflake_sql_api.SnowflakeError)
    at = datetime.datetime(2026, 3, 1, 12, 0, 0, 123456)
    ok("snowflake-sql-api reads a timestamp to the microsecond", rows[7]["AT_NTZ"] == at and rows[7]["AT_LTZ"].replace(tzinfo=None) == at)
    ok("and a day, and a variant", rows[7]["DAY"] == datetime.date(2026, 3, 1) and rows[7]["DOC"] == {"a": [1, None]})
    handle = first.submit("SELECT 3 AS N")
    ok("snowflake-sql-api submits and asks later", handle.result()[0]["N"] == 3)
    control(faults={"submit": ["503"], "poll": ["429"]}, pending=1)
    ok("snowflake-sql-api meets a 503 and a 429, and repeats under one request id", first.query_scalar("SELECT 4 AS N") == 4)
    control(pending=1_000_000)
    handle = first.submit("SELECT 5 AS N")
    handle.cancel()
    ok("a statement that is cancelled is not running any more", control()["open"] == 0)
    both("snowflake-rest", rest(), Exception)
    control(public_keys=["-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL3sTnyhrvSxzCPmW9sjPZLHhYFTBjJv\nVBTmHcvDmZlLdcHIXM8n1FZcJjGdYXrbMVJmMXHrZKpZgSh+5cXrNM8CAwEAAQ==\n-----END PUBLIC KEY-----\n"])
    for name, client in [("snowflake-sql-api", sql_api()), ("snowflake-rest", rest())]:
        try:
            client.query_scalar("SELECT 1 AS N")
        except Exception as cause:  # noqa: BLE001: each client has classes of its own
            ok(f"{name} is refused with a key that the user has not", "390144" in f"{cause} {cause.__dict__}" or "JWT" in str(cause))
        else:
            ok(f"{name} is refused with a key that the user has not", False)
    control()


main()
