"""Databricks' own Python clients against the double: does it answer as they expect?

usage: official.py ADDRESS [PORT AUTHORITY]    the second pair: the same double over TLS, for the
                                               SQL connector, which speaks nothing else
"""

import datetime
import decimal
import sys
import uuid

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.sql import Disposition, Format, StatementState

WAREHOUSE = "1a2b3c4d5e6f7a8b"
QUERY = "SELECT id, CAST(id AS DECIMAL(9,2)) AS total, concat('n', id) AS name, TIMESTAMP'2026-03-01 12:00:00.123456Z' AS at FROM range(250) ORDER BY id"


def ok(what, holds):
    if not holds:
        sys.exit(f"NOT {what}")
    print("ok ", what)


def sdk(address):
    schema = f"s{uuid.uuid4().hex[:8]}"
    token = WorkspaceClient(host=address, token=f"dapi{schema}")
    principal = WorkspaceClient(host=address, client_id=f"app-{schema}", client_secret="secret")
    for name, client in [("a token", token), ("a service principal", principal)]:
        ok(f"the SDK logs in with {name}", client.current_user.me().user_name.endswith(schema))
    ok("the SDK lists warehouses", [one.id for one in token.warehouses.list()] == [WAREHOUSE])

    def run(statement, **more):
        return principal.statement_execution.execute_statement(statement, WAREHOUSE, wait_timeout="30s", **more)

    made = run(f"CREATE SCHEMA IF NOT EXISTS `main`.`{schema}`")
    ok("a statement without a result ends", made.status.state == StatementState.SUCCEEDED)
    run(f"CREATE TABLE main.{schema}.t (id BIGINT NOT NULL, note STRING, PRIMARY KEY (id))")
    found = principal.tables.get(f"main.{schema}.t")
    ok("the SDK reads a table's columns", [(one.name, one.type_text) for one in found.columns] == [("id", "bigint"), ("note", "string")])
    ok("and its key", found.table_constraints[0].primary_key_constraint.child_columns == ["id"])
    ok("the SDK lists tables", [one.name for one in principal.tables.list("main", schema)] == ["t"])

    ok("and its schema, with an owner", principal.schemas.get(f"main.{schema}").owner == "administrator")
    granted = principal.grants.get_effective("schema", f"main.{schema}").privilege_assignments
    mine = [one.privilege.value for all in granted if all.principal != "administrator" for one in all.privileges]
    ok("the SDK reads effective privileges", {"USE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME"} <= set(mine))
    groups = [one.display for one in principal.current_user.me().groups]
    ok("and the groups that they may come by", groups == ["engineers"])

    inline = run(QUERY)
    ok("rows come inline as texts", inline.result.data_array[7][:3] == ["7", "7.00", "n7"])
    ok("with their types", [one.type_text for one in inline.manifest.schema.columns] == ["BIGINT", "DECIMAL(9,2)", "STRING", "TIMESTAMP"])
    linked = run(QUERY, disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM)
    first = linked.result.external_links[0]
    again = principal.statement_execution.get_statement_result_chunk_n(linked.statement_id, 0)
    ok("parts have addresses, fresh ones when asked", again.external_links[0].external_link != first.external_link)
    wrong = run("SELEC 1")
    ok("a wrong statement has failed", wrong.status.state == StatementState.FAILED and "PARSE_SYNTAX_ERROR" in wrong.status.error.message)
    for what, call, kind in [
        ("a warehouse that is not there is not found", lambda: principal.warehouses.get("none"), NotFound),
        ("a wrong token is refused", lambda: WorkspaceClient(host=address, token="wrong").current_user.me(), PermissionDenied),
    ]:
        try:
            call()
        except kind:
            ok(what, True)
        else:
            ok(what, False)
    run(f"CREATE VOLUME IF NOT EXISTS `main`.`{schema}`.`v`")
    path = f"/Volumes/main/{schema}/v/a b.txt"
    import io

    principal.files.upload(path, io.BytesIO(b"text"), overwrite=True)
    ok("a file of a volume is written and read", principal.files.download(path).contents.read() == b"text")
    listed = [file.path for file in principal.files.list_directory_contents(path.rsplit("/", 1)[0])]
    ok("the files of a volume are listed", listed == [path])
    principal.files.delete(path)


def connector(port, authority):
    from databricks import sql

    with sql.connect(
        server_hostname="127.0.0.1",
        _port=int(port),
        http_path=f"/sql/1.0/warehouses/{WAREHOUSE}",
        access_token="dapi-connector",
        use_sea=True,
        _tls_trusted_ca_file=authority,
        enable_telemetry=False,
    ) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        rows = cursor.fetchall()
        at = datetime.datetime(2026, 3, 1, 12, 0, 0, 123456)
        ok("the SQL connector reads all rows", [row[0] for row in rows] == list(range(250)))
        ok("digit for digit", rows[7][1] == decimal.Decimal("7.00") and rows[7][3].replace(tzinfo=None) == at)
        try:
            cursor.execute("SELEC 1")
        except Exception as cause:  # noqa: BLE001: the connector's own classes differ by version
            ok("and says what is wrong", "PARSE_SYNTAX_ERROR" in str(cause))


def kernel(port):
    import databricks_sql_kernel
    import pyarrow

    session = databricks_sql_kernel.Session(
        f"127.0.0.1:{port}",
        f"/sql/1.0/warehouses/{WAREHOUSE}",
        auth_type="pat",
        access_token="dapi-kernel",
        tls_skip_verify=True,
        tls_skip_hostname_verify=True,
        telemetry_enabled=False,
        retry_max_attempts=1,
    )
    statement = session.statement()
    statement.set_sql(QUERY)
    result = statement.execute()
    fetch = next(name for name in ("arrow_stream", "to_arrow", "fetch_all_arrow") if hasattr(result, name))
    rows = pyarrow.table(getattr(result, fetch)()).to_pylist()
    ok("the SQL kernel reads all rows", [row["id"] for row in rows] == list(range(250)))
    ok("to the last digit", rows[7]["total"] == decimal.Decimal("7.00") and rows[7]["at"].microsecond == 123456)


sdk(sys.argv[1])
if len(sys.argv) > 2:
    connector(*sys.argv[2:])
    kernel(sys.argv[2])
