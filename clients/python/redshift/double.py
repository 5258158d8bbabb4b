"""A Redshift for the tests: its wire and its refusals in front of a PostgreSQL, which runs the SQL.

usage: double.py --port PORT --postgres URL --s3 URL --cert FILE --key FILE [--password PASSWORD]

Sign-in is Redshift's own: MD5, or the SHA-256 digest (authentication request 13) for users that were made with
`PASSWORD 'sha256|…'`. The administrator is `dev`. Databases are those of the PostgreSQL server.
Not Redshift's: plans, isolation, distribution, the speed.
"""

import argparse
import asyncio
import pathlib
import re
import ssl
import struct
import urllib.parse

import backend
import copying
import sign_in
import unloading
from dialect import VERSION, Refused, translated

SSL_REQUEST, CANCEL_REQUEST, GSS_REQUEST, PROTOCOL = 80877103, 80877102, 80877104, 196608
# Types of PostgreSQL, as Redshift numbers its own.
OIDS = {114: 4000, 3802: 4000, 17: 6551, 25: 1043}
STATUS = {
    "server_version": "8.0.2", "server_encoding": "UNICODE", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
    "integer_datetimes": "on", "TimeZone": "UTC", "is_superuser": "off", "padb_version": VERSION,
    "padb_revision": "77467", "max_numeric_precision": "38", "max_varchar_size": "65535",
    "server_protocol_version": "0", "datashare_enabled": "on", "external_schema_enabled": "on",
}
MARK = "refused_by_the_double_"


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def error(code, words, severity=b"ERROR"):
    fields = ((b"S", severity), (b"C", code.encode()), (b"M", words.encode()))
    return message(b"E", b"".join(key + value + b"\0" for key, value in fields) + b"\0")


class Session:
    """One connection of a client, and one of its own to PostgreSQL."""

    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.refusals, self.cursors, self.folds, self.user = {}, set(), True, ""
        self.bytes_at = set()

    async def run(self):
        body = await self.greeted()
        if body is None:
            return
        pairs = body.rstrip(b"\0").split(b"\0")
        given = {key.decode(): value.decode() for key, value in zip(pairs[::2], pairs[1::2])}
        self.user = given.get("user", "")
        if not await sign_in.accepts(self, self.server.users.get(self.user)):
            words = f'password authentication failed for user "{self.user}"'
            self.writer.write(error("28000", words, b"FATAL"))
            return await self.writer.drain()
        try:
            self.database = given.get("database", "dev")
            self.behind = await self.connected(self.database, given.get("application_name", ""))
        except backend.Failed as failed:
            self.writer.write(message(b"E", failed.body))
            return await self.writer.drain()
        out = [message(b"R", struct.pack("!i", 0))]
        out += [message(b"S", f"{key}\0{value}\0".encode()) for key, value in STATUS.items()]
        out += [message(b"K", self.behind.cancel_key), message(b"Z", b"I")]
        self.writer.write(b"".join(out))
        await self.writer.drain()
        try:
            await backend.first_of(self.to_postgres(), self.to_client())
        finally:
            self.behind.writer.close()

    async def greeted(self):
        """Returns the start-up message, after TLS if the client asks for it."""
        while True:
            (size,) = struct.unpack("!i", await self.reader.readexactly(4))
            body = await self.reader.readexactly(size - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code == SSL_REQUEST:
                self.writer.write(b"S")
                await self.writer.drain()
                await self.writer.start_tls(self.server.tls)
            elif code == GSS_REQUEST:
                self.writer.write(b"N")
            elif code == CANCEL_REQUEST:
                await backend.cancel(self.server.postgres, body)
                return None
            elif code == PROTOCOL:
                return body[4:]
            else:
                raise ConnectionError(f"start-up code {code}")

    async def receive(self):
        kind = await self.reader.readexactly(1)
        (size,) = struct.unpack("!i", await self.reader.readexactly(4))
        return kind, await self.reader.readexactly(size - 4)

    async def to_postgres(self):
        while True:
            kind, body = await self.receive()
            if kind == b"Q":
                body = (await self.replaced(body[:-1].decode())).encode() + b"\0"
            elif kind == b"P":
                name, sql, rest = body.split(b"\0", 2)
                body = name + b"\0" + (await self.replaced(sql.decode())).encode() + b"\0" + rest
            self.behind.writer.write(message(kind, body))
            await self.behind.writer.drain()
            if kind == b"X":
                return

    async def replaced(self, sql):
        """Returns what PostgreSQL is asked instead: for a refusal, a text that it refuses, too."""
        try:
            sql = self.server.administered(sql, self.user)
            self.set_own(sql)
            self.watch_cursor(sql)
            query = unloading.query(sql)
            if query:
                return await self.unloaded(sql, query)
            copied = await asyncio.to_thread(copying.copied, self.server.s3, sql)
            if copied:
                return copied
            return translated(sql, self.folds)
        except Refused as refused:
            number = len(self.refusals)
            self.refusals[number] = refused
            return f"{MARK}{number}"

    async def unloaded(self, sql, query):
        """Runs an UNLOAD on a connection of its own. Returns what PostgreSQL is asked instead."""
        behind = await self.connected(self.database)
        try:
            # Parquet has the number itself.
            await behind.query("SET extra_float_digits = 3")
            found = await unloading.fetched(behind, translated(query, self.folds))
        finally:
            behind.writer.close()
        await asyncio.to_thread(unloading.written, self.server.s3, sql, *found)
        return "SELECT 1 LIMIT 0"

    async def connected(self, database, name=""):
        behind = await backend.connect(self.server.postgres, database, name)
        await behind.query(
            "SET standard_conforming_strings = off; SET escape_string_warning = off; SET timezone = 'UTC'; "
            "SET extra_float_digits = 0; SET jit = off; SET search_path TO \"$user\", public, redshift_double"
        )
        if self.user != "dev":
            await behind.query(f'SET SESSION AUTHORIZATION "{self.user}"')
        return behind

    def set_own(self, sql):
        found = re.search(r"enable_case_sensitive_identifier\s*(?:=|TO)\s*'?(\w+)", sql, re.I)
        if found:
            self.folds = found[1].lower() not in ("true", "on")

    def watch_cursor(self, sql):
        for statement in sql.split(";"):
            declared = re.match(r'\s*DECLARE\s+"?(\w+)', statement, re.I)
            closed = re.match(r'\s*CLOSE\s+"?(\w+)', statement, re.I)
            if declared:
                if self.cursors:
                    raise Refused("0A000", "only one cursor may be open in a session")
                self.cursors.add(declared[1])
            elif closed or re.match(r"\s*(COMMIT|END|ROLLBACK|ABORT|BEGIN|START)\b", statement, re.I):
                self.cursors.clear()

    async def to_client(self):
        while True:
            chunk = await self.behind.messages()
            self.writer.write(b"".join(self.answered(kind, body) for kind, body in chunk))
            await self.writer.drain()

    def answered(self, kind, body):
        if kind == b"T":
            body = self.described(body)
        elif kind == b"D" and self.bytes_at:
            body = self.bare(body)
        elif kind == b"t":
            (count,) = struct.unpack_from("!h", body)
            oids = struct.unpack_from(f"!{count}I", body, 2)
            body = struct.pack(f"!h{count}I", count, *(OIDS.get(oid, oid) for oid in oids))
        elif kind == b"E":
            return self.failed(body)
        elif kind == b"S":
            return b""
        return message(kind, body)

    def described(self, body):
        (count,), at, out = struct.unpack_from("!h", body), 2, [body[:2]]
        self.bytes_at = set()
        for number in range(count):
            end = body.index(b"\0", at) + 1
            table, column, oid, size, modifier, form = struct.unpack_from("!IhIhih", body, end)
            if oid == 17 and form == 0:
                self.bytes_at.add(number)
            out.append(body[at:end] + struct.pack("!IhIhih", table, column, OIDS.get(oid, oid), size, modifier, form))
            at = end + 18
        return b"".join(out)

    def bare(self, body):
        """Returns a row whose VARBYTE cells are digits alone: PostgreSQL writes `\\x` in front."""
        (count,), at, out = struct.unpack_from("!h", body), 2, [body[:2]]
        for number in range(count):
            (size,) = struct.unpack_from("!i", body, at)
            cell = body[at + 4 : at + 4 + max(size, 0)]
            at += 4 + max(size, 0)
            if number in self.bytes_at and size >= 0:
                cell, size = cell[2:], size - 2
            out.append(struct.pack("!i", size) + cell)
        return b"".join(out)

    def failed(self, body):
        found = backend.fields_of(body)
        code, words = found[b"C"].decode(), found[b"M"].decode()
        marked = re.search(rf"{MARK}(\d+)", words)
        if marked:
            refused = self.refusals[int(marked[1])]
            return error(refused.code, str(refused))
        # A cursor that could not be declared is none.
        self.cursors.clear()
        words = re.sub(r"permission denied for (table|view|materialized view) ", "permission denied for relation ", words)
        severity = found[b"S"]
        return error(code, words, severity)


class Server:
    """What all connections share."""

    def __init__(self, postgres, s3, tls, password, template):
        self.postgres, self.s3, self.tls, self.template = postgres, s3, tls, template
        self.users = {"dev": sign_in.Password(password)}

    def administered(self, sql, asked_by):
        """Notes a user's password, and returns the statement without it. Databases are made of the template."""
        if re.match(r"\s*CREATE\s+DATABASE\s+\w+\s*;?\s*$", sql, re.I):
            return f"{sql.strip().rstrip(';')} TEMPLATE {self.template}"
        found = re.match(r"\s*(CREATE|ALTER)\s+USER\s+(\"[^\"]+\"|\w+)\s+(?:WITH\s+)?PASSWORD\s+'([^']*)'", sql, re.I)
        if not found:
            return sql
        if asked_by != "dev":
            raise Refused("42501", "must be superuser to create users")
        name = found[2].strip('"').lower()
        self.users[name] = sign_in.Password.written(found[3])
        return f'CREATE ROLE "{name}" LOGIN{sql[found.end():]}' if found[1].upper() == "CREATE" else "SELECT 1"

    async def serve(self, reader, writer):
        try:
            await Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


async def main():
    parser = argparse.ArgumentParser()
    for name in ("port", "postgres", "s3", "cert", "key"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--password", default="f00d-4-Redshift")
    given = parser.parse_args()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(given.cert, given.key)
    postgres = urllib.parse.urlsplit(given.postgres)
    template = await backend.template(postgres, pathlib.Path(__file__).with_name("schema.sql").read_text())
    server = Server(postgres, given.s3, tls, given.password, template)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", int(given.port), limit=1 << 20)
    async with listening:
        await listening.serve_forever()


asyncio.run(main())
