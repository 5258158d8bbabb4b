"""A connection to the PostgreSQL behind the double: just enough of its protocol."""

import asyncio
import base64
import hashlib
import hmac
import os
import struct
import urllib.parse

def template_name(schema):
    """Returns the name of the template with this schema: doubles of two versions may share a server."""
    return "tidegate_redshift_" + hashlib.sha256(schema.encode()).hexdigest()[:12]


def fields_of(body):
    return {part[:1]: part[1:] for part in body.split(b"\0") if part}


class Failed(Exception):
    """What PostgreSQL answered."""

    def __init__(self, body):
        super().__init__(body.decode(errors="replace"))
        self.body = body


class Behind:
    """A signed-in connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.cancel_key, self.rest = reader, writer, b"", b""

    async def receive(self):
        kind = await self.reader.readexactly(1)
        (size,) = struct.unpack("!i", await self.reader.readexactly(4))
        return kind, await self.reader.readexactly(size - 4)

    def send(self, kind, body):
        self.writer.write(kind + struct.pack("!i", len(body) + 4) + body)

    async def until_ready(self):
        failed = None
        while True:
            kind, body = await self.receive()
            if kind == b"E":
                failed = failed or Failed(body)
                if b"FATAL" in body:
                    raise failed
            elif kind == b"K":
                self.cancel_key = body
            elif kind == b"Z":
                if failed:
                    raise failed
                return

    async def query(self, sql):
        self.send(b"Q", sql.encode() + b"\0")
        await self.until_ready()

    async def messages(self):
        """Returns the messages that have arrived, one at least."""
        out = []
        while not out:
            data = await self.reader.read(1 << 18)
            if not data:
                raise ConnectionError("PostgreSQL has closed the connection")
            data, at = self.rest + data, 0
            while len(data) - at >= 5:
                (size,) = struct.unpack_from("!i", data, at + 1)
                if len(data) - at <= size:
                    break
                out.append((data[at : at + 1], data[at + 5 : at + 1 + size]))
                at += 1 + size
            self.rest = data[at:]
        return out


async def connect(postgres, database, application=""):
    reader, writer = await asyncio.open_connection(postgres.hostname, postgres.port, limit=1 << 20)
    user = urllib.parse.unquote(postgres.username).encode()
    pairs = (b"user", user, b"database", database.encode(), b"application_name", application.encode())
    body = struct.pack("!i", 196608) + b"\0".join(pairs) + b"\0\0"
    writer.write(struct.pack("!i", len(body) + 4) + body)
    behind = Behind(reader, writer)
    await scram(behind, urllib.parse.unquote(postgres.password).encode())
    await behind.until_ready()
    return behind


async def scram(behind, password):
    """Signs in by SCRAM-SHA-256 (RFC 7677)."""
    await asked(behind, 10)
    nonce = base64.b64encode(os.urandom(18))
    first = b"n=,r=" + nonce
    initial = b"n,," + first
    behind.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(initial)) + initial)
    challenge = await asked(behind, 11)
    given = dict(part.split(b"=", 1) for part in challenge.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(given[b"s"]), int(given[b"i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    bare = b"c=biws,r=" + given[b"r"]
    proof = hmac.digest(hashlib.sha256(key).digest(), b",".join((first, challenge, bare)), "sha256")
    proof = bytes(a ^ b for a, b in zip(key, proof))
    behind.send(b"p", bare + b",p=" + base64.b64encode(proof))
    await asked(behind, 12)


async def asked(behind, code):
    kind, body = await behind.receive()
    if kind == b"E":
        raise Failed(body)
    if struct.unpack_from("!i", body)[0] != code:
        raise ConnectionError(f"PostgreSQL asks for another sign-in than SCRAM: {body[:4]!r}")
    return body[4:]


async def cancel(postgres, body):
    _, writer = await asyncio.open_connection(postgres.hostname, postgres.port)
    writer.write(struct.pack("!i", len(body) + 4) + body)
    await writer.drain()
    writer.close()


async def first_of(*steps):
    """Runs all until one of them ends."""
    tasks = [asyncio.create_task(step) for step in steps]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def template(postgres, schema):
    """Makes the template of databases, and the database `dev`, unless they are there. Returns the template's name."""
    name = template_name(schema)
    admin = await connect(postgres, "postgres")
    if await exists(admin, f"CREATE DATABASE {name}"):
        admin.writer.close()
        return name
    inside = await connect(postgres, name)
    await inside.query(schema)
    inside.send(b"X", b"")
    await inside.writer.drain()
    await inside.reader.read()
    await admin.query("DROP DATABASE IF EXISTS dev WITH (FORCE)")
    await admin.query(f"CREATE DATABASE dev TEMPLATE {name}")
    admin.writer.close()
    return name


async def exists(admin, create):
    """Runs a CREATE. Returns whether its object was there."""
    try:
        await admin.query(create)
    except Failed as failed:
        if b"already exists" in failed.body:
            return True
        raise
    return False
