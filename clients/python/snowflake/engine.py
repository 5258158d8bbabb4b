"""SQL, run by fakesnow: an engine of others that speaks the SQL of Snowflake on DuckDB.

What it does not know is done here instead, and EMULATED lists it: such statements are matched, not run.
A column that is declared TIMESTAMP_NTZ(9) has nanoseconds, which fakesnow alone leaves out.
"""

import logging
import pathlib
import re
import shutil
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
import warnings
import xml.etree.ElementTree

import pyarrow as pa
import sqlglot
from fakesnow import transforms
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import Error as SnowflakeError
from sqlglot import exp

warnings.simplefilter("ignore")
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

EMULATED = [
    "CURRENT_USER, CURRENT_ROLE, CURRENT_WAREHOUSE", "EXPLAIN, as a query without rows", "SHOW WAREHOUSES, DATABASES, SCHEMAS, OBJECTS, TABLES", "ALTER WAREHOUSE", "SHOW GRANTS",
    "MERGE that only inserts, as INSERT … WHERE NOT EXISTS", "LIST of an external stage",
    "external stages: a file is fetched here, and COPY INTO loads it from this machine",
    "COLLATE", "privileges", "TIMESTAMP_TZ as TIMESTAMP_LTZ: the engine keeps no offset",
]
# A MERGE that only inserts.
MERGE = re.compile(r"\s*MERGE INTO (\S+) AS (\w+) USING \((.*)\) AS (\w+) ON (.*) WHEN NOT MATCHED THEN INSERT \((.*)\) VALUES \((.*)\)\s*$", re.S | re.I)
# A COPY of one file of an external stage, and a LIST of one.
COPY = re.compile(r"\s*COPY INTO (\S+) FROM '@((?:[^'/])+)/([^']*)' FILES = \('([^']+)'\) (.*)$", re.S | re.I)
LIST = re.compile(r"\s*LIST '@([^'/]+)/([^']*)'\s*$", re.I)
WAREHOUSE, ROLE = "TIDEGATE_WH", "TIDEGATE_ROLE"
KINDS = {0: "fixed", 1: "real", 2: "text", 3: "date", 4: "timestamp_ntz", 5: "variant", 6: "timestamp_ltz", 7: "timestamp_ltz",
         8: "timestamp_ntz", 9: "object", 10: "array", 11: "binary", 12: "time", 13: "boolean"}

coarse_type, coarse_cast = transforms.timestamp_ntz, transforms.to_timestamp


def is_fine(data_type):
    """Whether a type is TIMESTAMP_NTZ(9), written out."""
    return isinstance(data_type, exp.DataType) and data_type.this == exp.DataType.Type.TIMESTAMPNTZ and data_type.expressions


def nanoseconds():
    return exp.DataType.build("TIMESTAMP_NS", dialect="duckdb")


transforms.timestamp_ntz = lambda one: nanoseconds() if is_fine(one) else coarse_type(one)
transforms.to_timestamp = lambda one: exp.Cast(this=one.this, to=nanoseconds()) if isinstance(one, exp.Cast) and is_fine(one.to) else coarse_cast(one)


class Failed(Exception):
    """A statement that ends with an error: its code, its SQLSTATE and its sentence."""

    def __init__(self, code, state, message):
        super().__init__(message)
        self.code, self.state, self.message = code, state, message


class Engine:
    def __init__(self):
        self.fake, self.lock = FakeSnow(), threading.Lock()
        self.open("SHOP", "PUBLIC")

    def open(self, database, schema):
        with self.lock:
            return self.fake.connect(database=database, schema=schema, paramstyle="qmark")

    def run(self, who, request):
        """The columns and the table of a statement's result, and the counts of one that changes rows."""
        text, arguments = request["statement"], bound(request.get("bindings") or {})
        database, schema = request.get("database"), request.get("schema")
        shown = self.shown(who, text, database, schema)
        if shown is not None:
            return described_texts(shown), shown, {}
        self.allow(who, text, request, database, schema)
        if explained := re.match(r"\s*EXPLAIN\b(?:\s+USING\s+\w+)?", text, re.I):
            text = f"SELECT * FROM ({text[explained.end():].rstrip().rstrip(';')}) LIMIT 0"
        text, local = self.local(who, text), None
        if copy := COPY.match(text):
            into, stage, folder, file, options = copy.groups()
            local = fetched(who.stage(stage), folder, file)
            text = f"COPY INTO {into} FROM 'file://{local}/' FILES = ('{file}') {options.replace('USE_LOGICAL_TYPE = TRUE', '')}"
        try:
            # Functions of the engine live in a database, whichever it is.
            known = self.known(database)
            cursor = self.open(known or "SHOP", (self.known_schema(database, schema) if known else None) or "PUBLIC").cursor()
            cursor.execute(text, arguments or None)
            table, described = cursor._arrow_table, [column(one) for one in cursor.description]
        except SnowflakeError as cause:
            raise Failed(*told(cause)) from cause
        except Exception as cause:  # noqa: BLE001: an error of the engine's parser, or of its database
            raise Failed("001003", "42000", f"SQL compilation error:\n{type(cause).__name__}: {cause}") from cause
        finally:
            if local:
                shutil.rmtree(local)
        if table is not None and "DATA_TYPE" in table.column_names:
            # The information schema has the engine's types: it has one for instants, and its own for nanoseconds.
            at, own = table.column_names.index("DATA_TYPE"), {"TIMESTAMP_TZ": "TIMESTAMP_LTZ", "TIMESTAMP_NS": "TIMESTAMP_NTZ"}
            table = table.set_column(at, "DATA_TYPE", pa.array([own.get(one, one) for one in table.column(at).to_pylist()], pa.string()))
        if table is None:
            table = pa.table({one["name"]: pa.array([], pa.string()) for one in described})
        return described, table, counts(described, table)

    def known(self, database):
        return database if database and (database.upper(),) in self.listed(1) else None

    def known_schema(self, database, schema):
        return schema if schema and (database.upper(), schema.upper()) in self.listed(2) else None

    def listed(self, parts):
        """Every database, or every schema with its database."""
        rows = self.fake.duck_conn.cursor().execute("SELECT DISTINCT catalog_name, schema_name FROM information_schema.schemata").fetchall()
        own = {row for row in rows if not row[0].startswith(("_", "system", "temp", "memory")) and row[1] not in ("main", "pg_catalog") and not row[1].startswith("_")}
        return sorted({(row[0].upper(),) if parts == 1 else (row[0].upper(), row[1].upper()) for row in own})

    def local(self, who, text):
        """A statement without what the engine does not know."""
        if merge := MERGE.match(text):
            there, there_as, new, new_as, condition, columns, values = merge.groups()
            rows = f"SELECT {values} FROM ({new}) AS {new_as} WHERE NOT EXISTS (SELECT 1 FROM {there} AS {there_as} WHERE {condition})"
            text = f"INSERT INTO {there} ({columns}) {rows}"
        text = re.sub(r"\bCURRENT_USER\(\)", f"'{who.name}'", text, flags=re.I)
        text = re.sub(r"\bCURRENT_ROLE\(\)", f"'{ROLE}'", text, flags=re.I)
        text = re.sub(r"\bCURRENT_WAREHOUSE\(\)", f"'{WAREHOUSE}'", text, flags=re.I)
        return re.sub(r"\bCOLLATE\((\"[^\"]*\"(?:\.\"[^\"]*\")?|[\w.]+),\s*'utf8'\)", r"\1", text, flags=re.I)

    def tables(self, text, database, schema):
        """Every table of a statement: what is done with it, and its names."""
        try:
            tree = sqlglot.parse_one(re.sub(r"^\s*EXPLAIN\b", "", text, flags=re.I), read="snowflake")
        except sqlglot.errors.SqlglotError:
            return []
        made = isinstance(tree, exp.Create)
        written = tree.find(exp.Table) if isinstance(tree, (exp.Insert, exp.Merge, exp.Update, exp.Delete, exp.Create)) else None
        found = []
        for one in tree.find_all(exp.Table):
            if not isinstance(one.this, exp.Identifier) or (not one.db and one.name.upper() in {cte.alias.upper() for cte in tree.find_all(exp.CTE)}):
                continue
            fold = lambda part: part.name if part.args.get("quoted") else part.name.upper()  # noqa: E731
            names = [fold(part) for part in (one.args.get("catalog"), one.args.get("db"), one.this) if part]
            names = [(database or "").upper(), (schema or "").upper()][: 3 - len(names)] + names
            action = "CREATE" if made and one is written else "INSERT" if one is written else "SELECT"
            found.append((action, *names))
        return found

    def allow(self, who, text, request, database, schema):
        """Refuses a statement as Snowflake words it."""
        if made := re.match(r'\s*CREATE SCHEMA (?:IF NOT EXISTS )?"([^"]+)"\."', text, re.I):
            if who.hides(made.group(1)) or who.lacks("CREATE SCHEMA", "DATABASE", made.group(1)):
                raise Failed("003001", "42501", f"SQL access control error:\nInsufficient privileges to operate on database '{made.group(1)}'")
        tables = self.tables(text, database, schema)
        for action, *names in tables:
            if not all(names):
                raise Failed("090105", "22000", f"Cannot perform {action}. This session does not have a current database. Call 'USE DATABASE', or use a qualified name.")
            if hidden := who.hides(*names[:2]):
                raise Failed("002003", "02000", f"SQL compilation error:\n{hidden[0]} '{hidden[1]}' does not exist or not authorized.")
            if action == "CREATE" and (names[0], names[1]) not in self.listed(2):
                raise Failed("002003", "02000", f"SQL compilation error:\nSchema '{names[0]}.{names[1]}' does not exist or not authorized.")
            if action == "CREATE" and who.lacks("CREATE TABLE", "SCHEMA", *names[:2]):
                raise Failed("003001", "42501", f"SQL access control error:\nInsufficient privileges to operate on schema '{names[1]}'.")
            if action == "INSERT" and who.lacks("INSERT", "TABLE", *names):
                raise Failed("003001", "42501", f"SQL access control error:\nInsufficient privileges to operate on table '{names[2]}'.")
            if action == "SELECT" and names[1] != "INFORMATION_SCHEMA" and who.hides(*names):
                raise Failed("002003", "42S02", f"SQL compilation error:\nObject '{'.'.join(names)}' does not exist or not authorized.")
        needs = tables or re.search(r"\bGENERATOR\b", text, re.I)
        plans = re.match(r"\s*EXPLAIN\b", text, re.I) or re.search(r"\bLIMIT 0\s*$", text, re.I)
        if needs and not plans:
            asleep = not who.auto_resume and not who.resumed
            if request.get("warehouse", "").upper() != WAREHOUSE or who.lacks("USAGE", "WAREHOUSE", WAREHOUSE) or asleep:
                raise Failed("000606", "57P03", "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse' command.\n")

    def shown(self, who, text, database, schema):
        """The rows of a command that is played; None for every other statement."""
        if re.match(rf'\s*ALTER WAREHOUSE "?{WAREHOUSE}"? RESUME\b', text, re.I):
            if who.lacks("USAGE", "WAREHOUSE", WAREHOUSE) or who.lacks("OPERATE", "WAREHOUSE", WAREHOUSE):
                raise Failed("003001", "42501", f"SQL access control error:\nInsufficient privileges to operate on warehouse '{WAREHOUSE}'")
            who.resumed = True
            return table_of([{"status": "Statement executed successfully."}], {"status": ""})
        if re.match(r"\s*SHOW GRANTS TO ROLE\b", text, re.I):
            held = [("CREATE SCHEMA", "DATABASE", names) for names in self.listed(1)] + [("CREATE TABLE", "SCHEMA", names) for names in self.listed(2)]
            rows = [{"privilege": one, "granted_on": kind, "name": ".".join(names)} for one, kind, names in held if not who.lacks(one, kind, *names)]
            return table_of(rows, {"privilege": "", "granted_on": "", "name": ""})
        if listed := LIST.match(text):
            return table_of(listing(who.stage(listed.group(1)), listed.group(2)), {"name": "", "size": "", "md5": "", "last_modified": ""})
        found = re.match(r"\s*SHOW\s+(?:TERSE\s+)?(WAREHOUSES|DATABASES|SCHEMAS|OBJECTS|TABLES)\b(?:\s+LIKE\s+'([^']*)')?(?:\s+IN\s+(?:DATABASE|SCHEMA)\s+(\S+))?", text, re.I)
        if not found:
            return None
        kind, like, place = found.group(1).upper(), found.group(2), [one.strip('"') for one in (found.group(3) or "").split(".") if one]
        wanted = re.compile("".join({"%": ".*", "_": "."}.get(part, re.escape(part[-1])) for part in re.findall(r"\\\\.|\\.|.", like or "%", re.S)), re.I)
        if kind == "WAREHOUSES":
            state = "STARTED" if not who.pending else "RESUMING"
            if not who.auto_resume and not who.resumed:
                state = "SUSPENDED"
            one = {"name": WAREHOUSE, "state": state, "type": "STANDARD", "size": "X-Small", "running": "0", "queued": "0",
                   "auto_suspend": "60", "auto_resume": "true" if who.auto_resume else "false"}
            return table_of([] if who.lacks("USAGE", "WAREHOUSE", WAREHOUSE) or not wanted.fullmatch(WAREHOUSE) else [one], one)
        if kind == "DATABASES":
            names = [names for names in self.listed(1) if not who.hides(*names)]
        elif kind == "SCHEMAS":
            names = [names for names in self.listed(2) if names[0] == (place or [database])[0] and not who.hides(*names)]
        else:
            rows = self.fake.duck_conn.cursor().execute("SELECT database_name, schema_name, table_name FROM duckdb_tables() UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
            names = [row for row in rows if [row[0].upper(), row[1].upper()] == [one.upper() for one in place] and not who.hides(row[0].upper(), row[1].upper(), row[2])]
        blank = {"created_on": "0", "name": "", "database_name": "", "schema_name": ""}
        shown = [blank | {"name": one[-1], "database_name": one[0], "schema_name": one[1] if len(one) > 2 else ""} for one in names if wanted.fullmatch(one[-1])]
        return table_of(shown, blank)


# An object store of the tests looks for a signature and does not verify it.
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=stage/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"}


def asked(address):
    """The answer of an object store."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=SIGNED)) as answer:
            return answer.read()
    except urllib.error.HTTPError as cause:
        if cause.code != 404:
            raise
        raise Failed("091016", "22000", f"Remote file '{address}' was not found. There are several potential causes. The file might not exist. The required credentials may be missing or invalid.") from cause


def fetched(stage, folder, file):
    """The folder on this machine that a file of a stage was brought to."""
    local = pathlib.Path(tempfile.mkdtemp(prefix="tidegate_stage_"))
    (local / file).write_bytes(asked(f"{stage}/{folder}{file}"))
    return local


def listing(stage, folder):
    """The files of a folder in a stage, as S3 lists them."""
    address = urllib.parse.urlsplit(stage)
    bucket, _, prefix = address.path.lstrip("/").partition("/")
    query = urllib.parse.urlencode({"list-type": "2", "prefix": f"{prefix}/{folder}"})
    tree = xml.etree.ElementTree.fromstring(asked(f"{address.scheme}://{address.netloc}/{bucket}?{query}"))
    keys = [one.text for one in tree.iter() if one.tag.endswith("}Key")]
    return [{"name": f"s3://{bucket}/{key}", "size": "0", "md5": "", "last_modified": ""} for key in keys]


def table_of(rows, blank):
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in blank})


def described_texts(table):
    return [one_column(name, "text", None, None) for name in table.column_names]


def one_column(name, kind, precision, scale):
    """A column of `rowType`."""
    length = 16_777_216 if kind == "text" else 8_388_608 if kind == "binary" else None
    return {"name": name, "database": "", "schema": "", "table": "", "nullable": True, "type": kind, "byteLength": length, "length": length,
            "scale": scale, "precision": precision, "collation": None}


def column(one):
    kind = KINDS[one.type_code]
    numbers = kind == "fixed" or kind.startswith("time")
    precision = (one.precision or 0) if numbers else None
    return one_column(one.name, kind, precision, (one.scale or 0) if numbers else None)


def bound(bindings):
    """The values of `?` in order. Values are texts, whatever their type."""
    values = []
    for number in sorted(bindings, key=int):
        kind, value = bindings[number]["type"].upper(), bindings[number]["value"]
        if value is not None and kind == "FIXED":
            value = int(value) if re.fullmatch(r"-?\d+", value) else float(value)
        elif value is not None and kind == "REAL":
            value = float(value)
        elif value is not None and kind == "BOOLEAN":
            value = value.lower() == "true"
        values.append(value)
    return values


def counts(described, table):
    names = {"number of rows inserted": "numRowsInserted", "number of rows updated": "numRowsUpdated", "number of rows deleted": "numRowsDeleted"}
    found = {names[one["name"]]: at for at, one in enumerate(described) if one["name"] in names}
    return {name: table.column(at).to_pylist()[0] for name, at in found.items() if table.num_rows == 1}


def told(cause):
    """The engine's words in the form of Snowflake: code, SQLSTATE, sentence."""
    said = re.sub(r"^\d{6} \(\w+\): (\S+: )?", "", cause.msg or str(cause))
    if missing := re.search(r"(?:Table|View|Object) with name (\S+?) does not exist|'([^']+)' does not exist", said):
        name = (missing.group(1) or missing.group(2)).upper()
        return "002003", "42S02", f"SQL compilation error:\nObject '{name}' does not exist or not authorized."
    if missing := re.search(r'Referenced column "([^"]+)" not found', said):
        return "000904", "42000", f"SQL compilation error: error line 1 at position 7\ninvalid identifier '{missing.group(1)}'"
    if found := re.search(r"Could not convert string [\"']([^\"']*)[\"']", said):
        return "100038", "22018", f"Numeric value '{found.group(1)}' is not recognized"
    if "Conversion Error" in said:
        return "100035", "22007", f"Timestamp is not recognized: {said.splitlines()[0]}"
    code = f"{cause.errno:06d}" if cause.errno and cause.errno > 0 else "001003"
    return code, cause.sqlstate or "42000", f"SQL compilation error:\n{said.splitlines()[0]}"
