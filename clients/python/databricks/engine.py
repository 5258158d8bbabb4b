"""SQL, run by Sail: an engine of others that speaks the SQL of Spark and writes Delta tables.

Sail has one catalog, so `main`.`shop`.`orders` is the table `orders` of its schema `main.shop`. What
it does not know is done here instead, and EMULATED lists it: such statements are matched, not run.
"""

import contextlib
import datetime
import os
import pathlib
import re
import shutil
import threading
import time
import uuid

import pyarrow as pa
from pysail.spark import SparkConnectServer
from pyspark.errors import PySparkException, PySparkTypeError
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType, StringType, StructField, StructType, TimestampType

EMULATED = [
    "CREATE VOLUME", "CLUSTER BY", "ALTER TABLE … ADD COLUMNS", "PRIMARY KEY", "OPTIMIZE", "TBLPROPERTIES", "DESCRIBE HISTORY",
    "table_changes, as the difference between versions, which the engine reads",
]

PART = r"(?:`((?:[^`]|``)+)`|([A-Za-z_]\w*))"
NAME = re.compile(rf"(?<![\w`.]){PART}\.{PART}\.{PART}(?![\w`(])")
CHANGES = re.compile(r"\btable_changes\(\s*'((?:[^'\\]|\\.)*)'\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", re.I)
# The end of a statement whose rows are ordered by a hash.
HASHED = re.compile(r"\bORDER BY (?:\w+, )?xxhash64\(.*\)(?= OFFSET \d+$|$)", re.S)
FEED = "delta.enableChangeDataFeed"
TEXTS = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"")


class Failed(Exception):
    """A statement that ends as FAILED."""

    def __init__(self, message, code="BAD_REQUEST"):
        super().__init__(message)
        self.message, self.code = message, code


class Engine:
    def __init__(self, home):
        home = pathlib.Path(home)
        self.tables, self.volumes = home / "tables", home / "volumes"
        for folder in (self.tables, self.volumes):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.keys, self.known_volumes, self.properties, self.ids, self.optimized = {}, set(), {}, {}, {}
        self.lock = threading.Lock()
        self.catalogs = {"main"}
        # A session that is idle keeps its tables.
        os.environ["SAIL_SPARK__SESSION_TIMEOUT_SECS"] = str(10**9)
        server = SparkConnectServer(ip="127.0.0.1", port=0)
        server.start(background=True)
        _, port = server.listening_address
        self.server = server
        self.session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
        self.session.conf.set("spark.sql.session.timeZone", "UTC")
        self.session.sql("CREATE SCHEMA IF NOT EXISTS `main.default`").collect()

    def run(self, text, parameters, catalog, schema):
        """The schema and the table of a statement's result; no schema for a statement without one."""
        try:
            done = self.emulated(text)
            if done is not None:
                return done
            sql = self.local(CHANGES.sub(self.changes, text), catalog, schema)
            # Rows that share a place have no order: each statement may give them in another one.
            sql = HASHED.sub(r"\g<0>, rand()", sql)
            command = re.match(r"\s*(CREATE|DROP|ALTER|INSERT|MERGE|DELETE|UPDATE|COPY)\b", text, re.I)
            if command:
                sql, parameters = self.filled(sql, parameters), None
            frame = self.session.sql(sql, args=parameters) if parameters else self.session.sql(sql)
            if re.search(r"\bLIMIT 0\s*$", text, re.I):
                return frame.schema, None
            if command:
                # It has run by now. The count that some commands give has a type that PySpark lacks.
                with contextlib.suppress(PySparkTypeError):
                    frame.collect()
                return None, None
            return frame.schema, frame.toArrow()
        except PySparkException as cause:
            raise Failed(explained(str(cause))) from cause

    @staticmethod
    def filled(sql, parameters):
        """A statement with its parameters as texts in quotes: Sail takes none in a command."""

        def text(found):
            value = parameters[found.group(1)]
            return "NULL" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

        return re.sub(r":(p\d+)\b", text, sql) if parameters else sql

    def names(self, text):
        """Catalog, schema and name of every table with three parts."""
        plain = TEXTS.sub("''", CHANGES.sub(lambda found: found.group(1).replace("\\'", "'"), text))
        found = [one for one in NAME.finditer(plain) if self.is_table(one)]
        return [tuple((a or b).replace("``", "`") for a, b in zip(*[iter(one.groups())] * 2)) for one in found]

    def is_table(self, found):
        """Whether three names are those of a table, and not of a member of a structure."""
        catalog = (found.group(1) or found.group(2)).lower()
        return catalog in self.catalogs or re.search(r"\b(FROM|JOIN|INTO|TABLE|UPDATE|EXISTS|HISTORY|OPTIMIZE)\s+$", found.string[: found.start()], re.I)

    def local(self, text, catalog=None, schema=None):
        def table(found):
            if not self.is_table(found):
                return found.group()
            one, two, three = ((a or b) for a, b in zip(*[iter(found.groups())] * 2))
            return f"`{one.lower()}.{two.lower()}`.`{three}`"

        # Texts in quotes are left alone, but for the paths of volumes.
        pieces, at = [], 0
        for quoted in TEXTS.finditer(text):
            pieces += [NAME.sub(table, text[at : quoted.start()]), quoted.group()]
            at = quoted.end()
        sql = "".join(pieces) + NAME.sub(table, text[at:])
        if made := re.match(r"\s*CREATE SCHEMA (?:IF NOT EXISTS )?`([^`]+)`\.", text, re.I):
            self.catalogs.add(made.group(1).lower())
        sql = re.sub(r"\bSCHEMA( IF NOT EXISTS)? `([^`]+)`\.`([^`]+)`", r"SCHEMA\1 `\2.\3`", sql, flags=re.I)
        sql = sql.replace("/Volumes/", f"{self.volumes}/")
        if re.match(r"\s*CREATE (OR REPLACE )?TABLE", sql, re.I):
            sql = self.created(sql)
        return re.sub(r"\bCLUSTER BY (\([^)]*\)|AUTO)", "", sql, flags=re.I)

    def created(self, sql):
        name = re.search(r"TABLE\s+(?:IF NOT EXISTS\s+)?(`[^`]+`\.`[^`]+`)", sql, re.I).group(1)
        key = re.search(r",\s*(?:CONSTRAINT \w+ )?PRIMARY KEY\s*\(([^)]*)\)", sql, re.I)
        if key:
            self.keys[name.replace("`", "").lower()] = [one.strip(" `") for one in key.group(1).split(",")]
            sql = sql.replace(key.group(), "")
        plain = name.replace("`", "").lower()
        self.ids[plain], self.properties[plain] = str(uuid.uuid4()), {}
        if properties := re.search(r"\bTBLPROPERTIES\s*\(([^)]*)\)", sql, re.I):
            self.properties[plain].update(re.findall(r"'?([\w.]+)'?\s*=\s*'?(\w+)'?", properties.group(1)))
            sql = sql.replace(properties.group(), "")
        if not re.search(r"\bUSING\b", sql, re.I):
            as_query = re.search(r"\sAS\s+(SELECT|WITH|VALUES)\b", sql, re.I)
            at = as_query.start() if as_query else len(sql)
            partition = re.search(r"\bPARTITIONED BY\b|\bTBLPROPERTIES\b", sql[:at], re.I)
            at = partition.start() if partition else at
            sql = f"{sql[:at]} USING DELTA {sql[at:]}"
        if not re.search(r"\bLOCATION\b", sql, re.I):
            place = self.tables / re.sub(r"\W", "_", name)
            with self.lock:
                place = place.with_name(f"{place.name}_{len(list(self.tables.iterdir()))}")
            as_query = re.search(r"\sAS\s+(SELECT|WITH|VALUES)\b", sql, re.I)
            at = as_query.start() if as_query else len(sql)
            sql = f"{sql[:at]} LOCATION '{place}' {sql[at:]}"
        return sql

    def place(self, name):
        """The folder of a table: `main`.`shop`.`orders`."""
        found = re.sub(r"\W", "_", self.local(name).strip())
        places = sorted(self.tables.glob(f"{found}_*"), key=lambda place: place.stat().st_ctime_ns)
        places = [place for place in places if re.fullmatch(re.escape(found) + r"_\d+", place.name)]
        if not places:
            raise Failed(f"[TABLE_OR_VIEW_NOT_FOUND] The table or view {name} cannot be found. SQLSTATE: 42P01")
        return places[-1]

    def version(self, name):
        """The newest version of a table, by its own log."""
        return max(int(file.stem) for file in (self.place(name) / "_delta_log").glob("*.json"))

    def changes(self, found):
        """A query for the changes of a table: what one version has and the one before it has not, and the reverse.

        Rows with the same key on both sides are the two images of an update, as the feed writes them."""
        name, first, last = found.group(1).replace("\\'", "'"), int(found.group(2)), int(found.group(3))
        plain = ".".join(self.names(f"SELECT * FROM {name}")[0]).lower()
        if self.properties.get(plain, {}).get(FEED) != "true":
            raise Failed("[DELTA_MISSING_CHANGE_DATA] Error getting change data for range, because change data was not recorded. SQLSTATE: KD002")
        if last > self.version(name):
            raise Failed(f"[DELTA_INVALID_CDC_RANGE] end version {last} is after the newest one. SQLSTATE: 22003")
        key = self.keys.get(self.local(name).replace("`", "").lower())
        parts = []
        for version in range(first, last + 1):
            new, old = f"SELECT * FROM {name} VERSION AS OF {version}", f"SELECT * FROM {name} VERSION AS OF {version - 1}"
            for one, other, kind, update in [(new, old, "insert", "update_postimage"), (old, new, "delete", "update_preimage")]:
                rows = f"(({one}) EXCEPT ALL ({other}))"
                word = f"'{kind}'"
                if key:
                    same = " AND ".join(f"there.`{column}` = rows.`{column}`" for column in key)
                    rows = f"(SELECT rows.*, there.`{key[0]}` IS NOT NULL AS tidegate_there FROM {rows} AS rows LEFT JOIN (({other}) EXCEPT ALL ({one})) AS there ON {same})"
                    word = f"CASE WHEN tidegate_there THEN '{update}' ELSE '{kind}' END"
                parts.append(f"SELECT *, {word} AS _change_type, CAST({version} AS BIGINT) AS _commit_version FROM {rows} AS of_version")
        return "(" + " UNION ALL ".join(parts) + ")"

    def emulated(self, text):
        if found := re.match(r"\s*DESCRIBE HISTORY (\S+)( LIMIT 1)?\s*$", text, re.I):
            row = {"version": self.version(found.group(1)), "operation": "WRITE"}
            schema = StructType([StructField("version", LongType()), StructField("operation", StringType())])
            return schema, pa.Table.from_pylist([row])
        if found := re.match(r"\s*SELECT max\(timestamp\) AS at FROM \(DESCRIBE HISTORY (\S+)\) WHERE operation = 'OPTIMIZE' OR version = 0\s*$", text, re.I):
            first = (self.place(found.group(1)) / "_delta_log" / f"{0:020}.json").stat().st_mtime
            at = self.optimized.get(found.group(1).replace("`", ""), first)
            schema = StructType([StructField("at", TimestampType())])
            return schema, pa.Table.from_pylist([{"at": datetime.datetime.fromtimestamp(at, datetime.timezone.utc)}])
        if found := re.match(r"\s*ALTER TABLE (\S+) SET TBLPROPERTIES\s*\((.*)\)\s*;?\s*$", text, re.I | re.S):
            self.set_properties(found.group(1), found.group(2))
            return None, None
        if found := re.match(r"\s*CREATE VOLUME (?:IF NOT EXISTS )?`([^`]+)`\.`([^`]+)`\.`([^`]+)`", text, re.I):
            self.known_volumes.add(tuple(found.groups()))
            self.volumes.joinpath(*found.groups()).mkdir(parents=True, exist_ok=True)
            return None, None
        if found := re.match(r"\s*ALTER TABLE (\S+) ADD COLUMNS? (?:IF NOT EXISTS )?\((.*)\)\s*$", text, re.I | re.S):
            self.widened(found.group(1), found.group(2))
            return None, None
        if found := re.match(r"\s*OPTIMIZE (\S+)", text, re.I):
            self.version(found.group(1))
            self.optimized[found.group(1).replace("`", "")] = time.time()
            return None, None
        if re.match(r"\s*GRANT\b", text, re.I):
            return None, None
        return None

    def set_properties(self, name, text):
        plain = ".".join(self.names(f"SELECT * FROM {name}")[0]).lower()
        given = re.findall(r"'?([\w.]+)'?\s*=\s*'?(\w+)'?", text)
        self.properties.setdefault(plain, {}).update(given)

    def widened(self, name, columns):
        """Adds columns by appending no rows that have them."""
        table = self.session.table(self.local(name))
        sql = f"SELECT {', '.join(f'CAST(NULL AS {t.dataType.simpleString()}) AS `{t.name}`' for t in table.schema.fields)}"
        for column in re.findall(r"`?(\w+)`?\s+([\w()]+)", columns):
            sql += f", CAST(NULL AS {column[1]}) AS `{column[0]}`"
        frame = self.session.sql(f"SELECT * FROM ({sql}) WHERE false")
        frame.write.format("delta").mode("append").option("mergeSchema", "true").saveAsTable(self.local(name))

    def described(self, catalog, schema):
        """Every table of a schema: its name, its columns and its key."""
        place = f"`{catalog}.{schema}`"
        for row in self.session.sql(f"SHOW TABLES IN {place}").collect():
            table = self.session.table(f"{place}.`{row[1]}`")
            plain = f"{catalog}.{schema}.{row[1]}".lower()
            yield row[1], table.schema, self.keys.get(plain, []), self.ids.get(plain), self.properties.get(plain, {})

    def listed(self):
        """Every schema, as catalog and schema."""
        names = [row[0].strip("`") for row in self.session.sql("SHOW SCHEMAS").collect()]
        return sorted(tuple(name.split(".", 1)) for name in names if "." in name)


def explained(said):
    """The engine's words in the form of Databricks: class, sentence, SQLSTATE."""
    said = said.splitlines()[0]
    for sign, name, state in [
        ("able or view not found", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("able not found", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("atabase not found", "SCHEMA_NOT_FOUND", "42704"),
        ("cannot resolve", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703"),
        ("annot cast", "CAST_INVALID_INPUT", "22018"),
        ("Cast error", "CAST_INVALID_INPUT", "22018"),
        ("expected", "PARSE_SYNTAX_ERROR", "42601"),
    ]:
        if sign in said:
            return f"[{name}] {said} SQLSTATE: {state}"
    return f"[INTERNAL_ERROR] {said} SQLSTATE: XX000"
