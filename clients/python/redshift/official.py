"""Redshift's own client for Python, redshift_connector, against the double.

usage: official.py HOST PORT
"""

import datetime
import decimal
import sys
import uuid

import redshift_connector

HOST, PORT = sys.argv[1], int(sys.argv[2])
ADMIN = {"user": "dev", "password": "f00d-4-Redshift"}
NAME = f"client_{uuid.uuid4().hex[:8]}"


def ok(what, holds):
    if not holds:
        sys.exit(f"NOT {what}")
    print("ok ", what)


def connect(database="dev", **given):
    return redshift_connector.connect(host=HOST, port=PORT, database=database, ssl=False, **{**ADMIN, **given})


def refused(what, call, *words):
    try:
        call()
    except Exception as error:
        return ok(what, all(word in str(error) for word in words))
    ok(what, False)


def asked(connection, sql, *parameters):
    cursor = connection.cursor()
    cursor.execute(sql, parameters)
    return cursor.fetchall() if cursor.description else None


def fails(connection, sql):
    def call():
        try:
            asked(connection, sql)
        finally:
            connection.rollback()

    return call


admin = connect()
ok("signs in by MD5", asked(admin, "SELECT 1") == ([1],) or asked(admin, "SELECT 1") == [[1]])
ok("is told a version of Redshift", "Redshift 1.0" in asked(admin, "SELECT version()")[0][0])
admin.rollback()
admin.autocommit = True
asked(admin, f"CREATE DATABASE {NAME}")
asked(admin, f"CREATE USER {NAME}_md5 PASSWORD 'Secret-1'")
asked(admin, f"CREATE USER {NAME}_sha PASSWORD 'sha256|Secret-2'")
admin.autocommit = False
connect(user=f"{NAME}_sha", password="Secret-2").close()
ok("signs in by the digest SHA-256", True)
for user in ("md5", "sha", "none"):
    words = "password authentication failed"
    refused(f"is refused with a wrong password ({user})", lambda: connect(user=f"{NAME}_{user}", password="wrong"), words)

own = connect(NAME)
asked(own, "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(max), total DECIMAL(9,2), at TIMESTAMPTZ DEFAULT SYSDATE, "
      "day DATE, doc SUPER, raw VARBYTE) DISTKEY (id) SORTKEY (at)")
asked(own, "INSERT INTO orders (id, note, total, at, day, doc, raw) VALUES (%s, %s, %s, %s, %s, JSON_PARSE(%s), TO_VARBYTE('616263', 'hex'))",
      7, "é it's", decimal.Decimal("1.50"), datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc), datetime.date(2026, 3, 1), '{"a":[1,null]}')
own.commit()
cursor = own.cursor()
cursor.execute("SELECT id, note, total, at, day, doc, raw FROM orders")
row = cursor.fetchall()[0]
ok("reads a number, a text and a decimal", (row[0], row[1], row[2]) == (7, "é it's", decimal.Decimal("1.50")))
ok("reads an instant and a day", (row[3], row[4]) == (datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc), datetime.date(2026, 3, 1)))
ok("reads SUPER as JSON", row[5] == '{"a":[1,null]}')
ok("reads VARBYTE", row[6] == "abc")
ok("is told the numbers of Redshift's types", [column[1] for column in cursor.description][5:] == [4000, 6551])
ok("reads SUPER by JSON_SERIALIZE", asked(own, "SELECT JSON_SERIALIZE(doc) FROM orders")[0][0] == '{"a":[1,null]}')
ok("sees its columns in SVV_ALL_COLUMNS",
   [kind for kind, in asked(own, "SELECT data_type FROM svv_all_columns WHERE table_name = 'orders' ORDER BY ordinal_position")][1:6]
   == ["character varying", "numeric", "timestamp with time zone", "date", "super"])
ok("folds names in quotes", asked(own, 'SELECT "ID" FROM "ORDERS"')[0][0] == 7)
ok("reads a backslash as an escape", asked(own, r"SELECT 'a\\b'")[0][0] == "a\\b")
asked(own, "DECLARE c CURSOR FOR SELECT id FROM orders")
ok("fetches from a cursor", len(asked(own, "FETCH 1000 FROM c")) == 1)
refused("may have one cursor only", fails(own, "DECLARE d CURSOR FOR SELECT 1"), "only one cursor")
for sql, words in (
    ("SELECT * FROM unnest(ARRAY[1])", "unnest"),
    ('SELECT note FROM orders ORDER BY note COLLATE "C"', "COLLATE"),
    ("SELECT current_setting('server_version_num')", "server_version_num"),
    ("SELECT '{}'::jsonb", "jsonb"),
    ("INSERT INTO orders (id) VALUES (7) ON CONFLICT DO NOTHING", "conflict"),
    ("INSERT INTO orders (id) VALUES (7) RETURNING id", "returning"),
    ("SELECT 'orders'::regclass", "regclass"),
    ("SELECT * FROM pg_catalog.pg_range", "does not exist"),
    ("SET IntervalStyle = postgres", "intervalstyle"),
):
    refused(f"is refused: {sql}", fails(own, sql), words)
reader = connect(NAME, user=f"{NAME}_md5", password="Secret-1")
refused("may not read without a grant", fails(reader, "SELECT * FROM orders"), "permission denied for relation orders")
