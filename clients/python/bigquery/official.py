"""Google's own Python client against the double: does it answer as the client expects?

usage: official.py ADDRESS KEY OTHER_KEY    the key that the double knows, and one that it does not
"""

import datetime
import decimal
import io
import json
import os
import pathlib
import sys
import tempfile
import time
import urllib.request
import uuid

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound
from google.api_core.retry import Retry
from google.auth import aws, crypt, identity_pool, jwt
from google.auth.exceptions import OAuthError, RefreshError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.oauth2 import service_account

QUERY = (
    "SELECT n AS id, CAST(n AS NUMERIC) / 4 AS total, CONCAT('n', CAST(n AS STRING)) AS name, "
    "TIMESTAMP_ADD(TIMESTAMP '2026-03-01 12:00:00.123456Z', INTERVAL n SECOND) AS at, "
    "STRUCT(n AS a, [n, n + 1] AS b) AS more FROM UNNEST(GENERATE_ARRAY(0, 249)) AS n ORDER BY n"
)


PROVIDER = "//iam.googleapis.com/projects/1234/locations/global/workloadIdentityPools/shop/providers/idp"


def ok(what, holds):
    if not holds:
        sys.exit(f"NOT {what}")
    print("ok ", what)


def refused(what, kind, call, word=""):
    try:
        call()
    except kind as cause:
        ok(what, word in str(cause))
    else:
        ok(what, False)


def client(address, name, key):
    info = {
        "type": "service_account",
        "project_id": "shop",
        "private_key_id": "1",
        "private_key": pathlib.Path(key).read_text(),
        "client_email": f"{name}@shop.iam.gserviceaccount.com",
        "token_uri": f"{address}/token",
    }
    credentials = service_account.Credentials.from_service_account_info(info, scopes=["https://www.googleapis.com/auth/bigquery"])
    return bigquery.Client(project="shop", credentials=credentials, client_options={"api_endpoint": address})


def workload(key, name, **claims):
    """A token of the identity provider that the double knows."""
    now = int(time.time())
    wanted = {"iss": "https://idp.example", "aud": f"https:{PROVIDER}", "sub": name, "iat": now, "exp": now + 600}
    return jwt.encode(crypt.RSASigner.from_string(pathlib.Path(key).read_bytes()), wanted | claims).decode()


def federated(address, source, account=None, audience=None):
    info = {
        "type": "external_account",
        "audience": audience or PROVIDER,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{address}/sts/token",
        "credential_source": source,
    }
    if account:
        info["service_account_impersonation_url"] = f"{address}/iam/v1/projects/-/serviceAccounts/{account}@shop.iam.gserviceaccount.com:generateAccessToken"
    credentials = identity_pool.Credentials.from_info(info, scopes=["https://www.googleapis.com/auth/bigquery"])
    return bigquery.Client(project="shop", credentials=credentials, client_options={"api_endpoint": address})


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the token of a client to calls over a channel that is not encrypted."""

    def __init__(self, credentials):
        self.credentials = credentials

    def intercept(self, continuation, details, request):
        metadata = [*(details.metadata or []), ("authorization", f"Bearer {self.credentials.token}")]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept


def stored(address, name, big):
    """Results by the Storage Read API, as BigQuery's client reads them."""
    place = set_up(address, name)["storage"].removeprefix("http://")
    channel = grpc.intercept_channel(grpc.insecure_channel(place), Bearer(big._credentials))
    reader = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))

    def ids(**given):
        set_up(address, name, **given)
        # An ordered result is read by one stream.
        job = big.query("SELECT n FROM UNNEST(GENERATE_ARRAY(1, 30000)) AS n ORDER BY n")
        return job.to_arrow(bqstorage_client=reader).column("n").to_pylist()

    everything = list(range(1, 30001))
    ok("a result is read by the Storage Read API", ids() == everything)
    ok("and in order when its stream breaks off", ids(faults={"rows": ["cut", "cut"]}) == everything)
    left = set_up(address, name)
    ok("which it was", left["faults"] == 0)
    set_up(address, name, without=["bigquery.readsessions.create"])
    wanted = {"table": "projects/shop/datasets/d/tables/t", "data_format": "ARROW"}
    refused("without bigquery.readsessions.create it is refused", Forbidden, lambda: reader.create_read_session(parent="projects/shop", read_session=wanted))


def at_aws(address, name, secret):
    """The login of an AWS machine, as the service account."""
    os.environ |= {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "eu-central-1"}
    info = {
        "type": "external_account",
        "audience": PROVIDER,
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": f"{address}/sts/token",
        "service_account_impersonation_url": f"{address}/iam/v1/projects/-/serviceAccounts/{name}@shop.iam.gserviceaccount.com:generateAccessToken",
        "credential_source": {
            "environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        },
    }
    credentials = aws.Credentials.from_info(info, scopes=["https://www.googleapis.com/auth/bigquery"])
    return len(list(bigquery.Client(project="shop", credentials=credentials, client_options={"api_endpoint": address}).query(QUERY).result()))


def federation(address, name, key, other):
    """The logins of a workload of another platform."""
    with tempfile.NamedTemporaryFile("w", suffix=".jwt") as file:

        def left(token):
            file.seek(0)
            file.truncate()
            file.write(token)
            file.flush()
            return {"file": file.name}

        def count(*configuration, **more):
            return len(list(federated(address, *configuration, **more).query(QUERY).result()))

        ok("a workload with a token in a file logs in", count(left(workload(key, name))) == 250)
        ok("also as a service account", count(left(workload(key, name)), name) == 250)
        asked = {"url": f"{address}/idp/token", "headers": {"x-workload-token": workload(key, name)}, "format": {"type": "json", "subject_token_field_name": "value"}}
        ok("and with a token that a server of its platform gives out", count(asked, name) == 250)
        for what, token, said in [
            ("another signature", workload(other, name), "invalid_grant"),
            ("another issuer", workload(key, name, iss="https://other.example"), "invalid_grant"),
            ("another audience", workload(key, name, aud="https://other.example"), "invalid_grant"),
            ("an end in the past", workload(key, name, exp=1), "invalid_grant"),
            ("claims that the provider rejects", workload(key, name, rejected=True), "unauthorized_client"),
            ("no form of a token", "zanzibar", "invalid_request"),
        ]:
            refused(f"one with {what} does not", OAuthError, lambda: count(left(token)), said)
        ok("a machine at AWS logs in", at_aws(address, name, "an-example-of-a-secret") == 250)
        refused("one with another secret does not", OAuthError, lambda: at_aws(address, name, "another-secret"), "invalid_grant")
        refused("nor one for another provider", OAuthError, lambda: count(left(workload(key, name)), audience=PROVIDER + "x"), "invalid_target")
        refused("nor as another service account", RefreshError, lambda: count(left(workload(key, name)), name + "x"), "iam.serviceAccounts.getAccessToken")


def set_up(address, name, **given):
    request = urllib.request.Request(f"{address}/_double/{name}", json.dumps(given).encode(), method="PUT")
    return json.load(urllib.request.urlopen(request))


def main(address, key, other):
    name = f"s{uuid.uuid4().hex[:8]}"
    once = {"retry": None, "job_retry": None}
    big = client(address, name, key)
    refused("a wrong key is refused", RefreshError, lambda: client(address, name, other).query_and_wait("SELECT 1"), "Invalid JWT Signature")

    rows = list(big.query_and_wait(QUERY, page_size=40))
    ok("all pages of a query are read", [row["id"] for row in rows] == list(range(250)))
    at = datetime.datetime(2026, 3, 1, 12, 0, 7, 123456, tzinfo=datetime.timezone.utc)
    ok("digit for digit", rows[7]["total"] == decimal.Decimal("1.75") and rows[7]["at"] == at)
    ok("structures and lists", rows[7]["more"] == {"a": 7, "b": [7, 8]})

    dataset = big.create_dataset(name)
    big.query_and_wait(f"CREATE TABLE `shop`.`{name}`.`t` (id INT64 NOT NULL, note STRING)")
    big.query_and_wait(f"INSERT INTO `shop`.`{name}`.`t` VALUES (1, 'a'), (2, NULL)")
    table = big.get_table(f"shop.{name}.t")
    ok("a table's columns are told", [(one.name, one.field_type, one.mode) for one in table.schema] == [("id", "INTEGER", "REQUIRED"), ("note", "STRING", "NULLABLE")])
    ok("tables are listed", [one.table_id for one in big.list_tables(dataset)] == ["t"])
    asked = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("p1", "INT64", 2)])
    ok("named parameters count", [row.id for row in big.query_and_wait(f"SELECT id FROM `shop`.`{name}`.`t` WHERE id >= @p1", job_config=asked)] == [2])

    set_up(address, name, pending=2, empty_pages=2, rows_per_page=30)
    ok("a job that takes its time, and pages without rows", [row["id"] for row in big.query(QUERY).result()] == list(range(250)))
    set_up(address, name, faults={"submit": ["503", "rate"], "poll": ["429", "jobrate"], "page": ["500"]}, rows_per_page=100)
    patient = Retry(lambda cause: True, initial=0.01)
    ok("what fails for a moment is asked again", len(list(big.query(QUERY, retry=patient, job_retry=patient).result(retry=patient))) == 250)
    set_up(address, name, faults={"poll": ["expired"]})
    ok("a token that ends is renewed", len(list(big.query(QUERY).result())) == 250)

    dry = big.query(QUERY, job_config=bigquery.QueryJobConfig(dry_run=True))
    ok("a dry run tells the columns", [one.field_type for one in dry.schema] == ["INTEGER", "NUMERIC", "STRING", "TIMESTAMP", "RECORD"])
    set_up(address, name, bytes=5 << 30)
    dry = big.query(QUERY, job_config=bigquery.QueryJobConfig(dry_run=True))
    ok("and the bytes", dry.total_bytes_processed == 5 << 30)
    limited = bigquery.QueryJobConfig(maximum_bytes_billed=1 << 30)
    refused("which a limit holds back", BadRequest, lambda: big.query(QUERY, job_config=limited).result(**once), "Query exceeded limit for bytes billed")

    for permission, word, call in [
        ("bigquery.jobs.create", "bigquery.jobs.create permission", lambda: big.query_and_wait("SELECT 1", **once)),
        ("bigquery.tables.getData", "permission to query table", lambda: big.query(f"SELECT * FROM `shop`.`{name}`.`t`", **once).result(**once)),
        ("bigquery.tables.get", "Permission bigquery.tables.get denied", lambda: big.get_table(f"shop.{name}.t")),
    ]:
        set_up(address, name, without=[permission])
        refused(f"without {permission} it is refused", Forbidden, call, word)
    set_up(address, name)
    refused("a table that is not there is not found", NotFound, lambda: big.query_and_wait(f"SELECT * FROM `shop`.`{name}`.`none`", **once))
    refused("a wrong statement is a bad request", BadRequest, lambda: big.query_and_wait("SELEC 1", **once))
    refused("a column that is not there, too", BadRequest, lambda: big.query_and_wait("SELECT nothing FROM (SELECT 1 AS id)", **once))

    rows = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array([3, 4], pa.int64()), "note": pa.array(["c", None])}), rows)
    into = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_EMPTY", create_disposition="CREATE_IF_NEEDED")
    for how, size in [("one request", {"size": len(rows.getvalue())}), ("some requests", {})]:
        rows.seek(0)
        job_id = f"load-{name}-{len(how)}"
        big.load_table_from_file(rows, f"shop.{name}.t{len(how)}", job_config=into, job_id=job_id, **size).result()
        found = [(row.id, row.note) for row in big.query_and_wait(f"SELECT * FROM `shop`.`{name}`.`t{len(how)}` ORDER BY id")]
        ok(f"a Parquet file is loaded in {how}", found == [(3, "c"), (4, None)])
        rows.seek(0)
        refused("a job of the same id is refused", Conflict, lambda: big.load_table_from_file(rows, f"shop.{name}.t", job_config=into, job_id=job_id, num_retries=0), "Already Exists")
    rows.seek(0)
    refused("a load into a table with rows, too", Conflict, lambda: big.load_table_from_file(rows, f"shop.{name}.t", job_config=into).result())
    set_up(address, name, without=["bigquery.tables.updateData"])
    rows.seek(0)
    refused("and one without the permission", Forbidden, lambda: big.load_table_from_file(rows, f"shop.{name}.t9", job_config=into).result(), "bigquery.tables.updateData")

    set_up(address, name, location="europe-west3")
    job = big.query(QUERY)
    ok("a job is where its data is", job.location == "europe-west3" and len(list(job.result())) == 250)
    refused("and nowhere else", NotFound, lambda: big.get_job(job.job_id, location="US"))
    set_up(address, name)
    ok("a job is cancelled", big.query(QUERY).cancel() and set_up(address, name)["open"] == 0)
    stored(address, name, big)
    federation(address, name, key, other)


main(*sys.argv[1:])
