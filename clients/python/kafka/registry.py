"""A schema registry in memory that Confluent's own clients register and read through.

usage: registry.py --port PORT [--user NAME --password-file FILE]

It speaks the part of the API that serializers use: register, look up, read by
id, guid and version, references, basic authentication. Compatibility is not
checked. A Protobuf schema registered as a descriptor is given back as .proto
text, as the real registry does, unless `format=serialized` asks for it.
"""

import argparse
import base64
import hashlib
import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from proto_text import proto_text


class Refused(Exception):
    """An answer of the API other than success."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code
        self.status = code if code < 1000 else code // 100


class Registry:
    """Subjects, versions and schemas. A schema has one id wherever it is registered."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.schemas: list[dict] = []
        self.subjects: dict[str, list[int]] = {}

    def register(self, subject: str, wanted: dict) -> dict:
        wanted = self.checked(wanted)
        with self.lock:
            known = self.id_of(wanted)
            if known is None:
                self.schemas.append(wanted)
                known = len(self.schemas)
            versions = self.subjects.setdefault(subject, [])
            if known not in versions:
                versions.append(known)
            return self.entry(subject, versions.index(known) + 1)

    def lookup(self, subject: str, wanted: dict) -> dict:
        wanted = self.checked(wanted)
        with self.lock:
            versions = self.versions(subject)
            known = self.id_of(wanted)
            if known not in versions:
                raise Refused(40403, "Schema not found")
            return self.entry(subject, versions.index(known) + 1)

    def checked(self, wanted: dict) -> dict:
        """The schema with its defaults; what it refers to must be there."""
        wanted = {
            "schema": wanted["schema"],
            "schemaType": wanted.get("schemaType") or "AVRO",
            "references": wanted.get("references") or [],
        }
        for reference in wanted["references"]:
            try:
                self.version(reference["subject"], reference["version"])
            except Refused as refused:
                raise Refused(42201, f"Invalid schema: no reference {reference['name']}") from refused
        return wanted

    def id_of(self, wanted: dict) -> int | None:
        return self.schemas.index(wanted) + 1 if wanted in self.schemas else None

    def versions(self, subject: str) -> list[int]:
        if subject not in self.subjects:
            raise Refused(40401, f"Subject '{subject}' not found.")
        return self.subjects[subject]

    def version(self, subject: str, version: int | str) -> dict:
        versions = self.versions(subject)
        number = len(versions) if version in ("latest", -1, "-1") else int(version)
        if not 1 <= number <= len(versions):
            raise Refused(40402, f"Version {version} not found.")
        return self.entry(subject, number)

    def entry(self, subject: str, version: int) -> dict:
        number = self.subjects[subject][version - 1]
        return {"subject": subject, "version": version, "id": number, **self.by_id(number)}

    def by_id(self, number: int) -> dict:
        if not 1 <= number <= len(self.schemas):
            raise Refused(40403, f"Schema {number} not found")
        schema = self.schemas[number - 1]
        return {**schema, "guid": guid(schema)}

    def by_guid(self, wanted: str) -> dict:
        for number, schema in enumerate(self.schemas, start=1):
            if guid(schema) == wanted:
                return {"id": number, **self.by_id(number)}
        raise Refused(40403, f"Schema {wanted} not found")


def guid(schema: dict) -> str:
    return str(uuid.UUID(bytes=hashlib.md5(json.dumps(schema, sort_keys=True).encode()).digest()))


def readable(entry: dict, query: dict[str, list[str]]) -> dict:
    """The entry with a Protobuf descriptor as text."""
    if entry["schemaType"] != "PROTOBUF" or query.get("format") == ["serialized"]:
        return entry
    return {**entry, "schema": proto_text(entry["schema"])}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry = Registry()
    authorization: str | None = None

    def answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            if self.authorization and self.headers.get("Authorization") != self.authorization:
                raise Refused(401, "Unauthorized")
            status, said = 200, self.route(method, json.loads(body) if body else {})
        except Refused as refused:
            status, said = refused.status, {"error_code": refused.code, "message": str(refused)}
        out = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    def route(self, method: str, body: dict):
        url = urlsplit(self.path)
        query, registry = parse_qs(url.query), self.registry
        path = [unquote(part) for part in url.path.strip("/").split("/")]
        match (method, *path):
            case ("POST", "subjects", subject, "versions"):
                return registry.register(subject, body)
            case ("POST", "subjects", subject):
                return registry.lookup(subject, body)
            case ("GET", "subjects"):
                return sorted(registry.subjects)
            case ("GET", "subjects", subject, "versions"):
                return list(range(1, len(registry.versions(subject)) + 1))
            case ("GET", "subjects", subject, "versions", version) if re.fullmatch(r"latest|-?\d+", version):
                return readable(registry.version(subject, version), query)
            case ("GET", "schemas", "types"):
                return ["AVRO", "JSON", "PROTOBUF"]
            case ("GET", "schemas", "ids", number) if number.isdecimal():
                return readable(registry.by_id(int(number)), query)
            case ("GET", "schemas", "guids", wanted):
                return readable(registry.by_guid(wanted), query)
            case ("GET", "config", *_):
                return {"compatibilityLevel": "NONE"}
        raise Refused(404, "HTTP 404 Not Found")

    def do_GET(self) -> None:
        self.answer("GET")

    def do_POST(self) -> None:
        self.answer("POST")

    def log_message(self, format: str, *args) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user")
    parser.add_argument("--password-file", type=Path)
    options = parser.parse_args()
    if options.user:
        pair = f"{options.user}:{options.password_file.read_text().strip()}"
        Handler.authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
