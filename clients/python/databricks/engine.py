"""SQL, run by Sail: an engine of others that speaks the SQL of Spark and writes Delta tables.

Sail has one catalog, so `main`.`shop`.`orders` is the table `orders` of its schema `main.shop`. What
it does not know is done here instead, and EMULATED lists it: such statements are matched, not run.
"""

import os
import pathlib
import re
import shutil
import threading

from pysail.spark import SparkConnectServer
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

EMULATED = ["CREATE VOLUME", "CLUSTER BY", "ALTER TABLE … ADD COLUMNS", "PRIMARY KEY", "OPTIMIZE"]

PART = r"(?:`((?:[^`]|``)+)`|([A-Za-z_]\w*))"
NAME = re.compile(rf"(?<![\w`.]){PART}\.{PART}\.{PART}(?![\w`(])")
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
        self.keys, self.known_volumes = {}, set()
        self.lock = threading.Lock()
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
            sql = self.local(text, catalog, schema)
            command = re.match(r"\s*(CREATE|DROP|ALTER|INSERT|MERGE|DELETE|UPDATE|COPY)\b", text, re.I)
            if command:
                sql, parameters = self.filled(sql, parameters), None
            frame = self.session.sql(sql, args=parameters) if parameters else self.session.sql(sql)
            if re.search(r"\bLIMIT 0\s*$", text, re.I):
                return frame.schema, None
            if command:
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
        plain = TEXTS.sub("''", text)
        return [tuple((a or b).replace("``", "`") for a, b in zip(*[iter(found.groups())] * 2)) for found in NAME.finditer(plain)]

    def local(self, text, catalog=None, schema=None):
        def table(found):
            one, two, three = ((a or b) for a, b in zip(*[iter(found.groups())] * 2))
            return f"`{one.lower()}.{two.lower()}`.`{three}`"

        # Texts in quotes are left alone, but for the paths of volumes.
        pieces, at = [], 0
        for quoted in TEXTS.finditer(text):
            pieces += [NAME.sub(table, text[at : quoted.start()]), quoted.group()]
            at = quoted.end()
        sql = "".join(pieces) + NAME.sub(table, text[at:])
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

    def emulated(self, text):
        if found := re.match(r"\s*CREATE VOLUME (?:IF NOT EXISTS )?`([^`]+)`\.`([^`]+)`\.`([^`]+)`", text, re.I):
            self.known_volumes.add(tuple(found.groups()))
            self.volumes.joinpath(*found.groups()).mkdir(parents=True, exist_ok=True)
            return None, None
        if found := re.match(r"\s*ALTER TABLE (\S+) ADD COLUMNS? (?:IF NOT EXISTS )?\((.*)\)\s*$", text, re.I | re.S):
            self.widened(found.group(1), found.group(2))
            return None, None
        if re.match(r"\s*(OPTIMIZE|GRANT)\b", text, re.I):
            return None, None
        return None

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
            yield row[1], table.schema, self.keys.get(f"{catalog}.{schema}.{row[1]}".lower(), [])

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
