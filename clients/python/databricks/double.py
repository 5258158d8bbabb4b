"""A double of a Databricks workspace, on loopback: the APIs that a client of a SQL warehouse calls.

It answers as recorded exchanges with real workspaces do and runs SQL on an engine of others
(engine.py). Who asks is known by the token, or by the client id; `PUT /_double/NAME` says what that
principal lacks and what goes wrong for it, so tests that run at once do not disturb each other:

  without        privileges, as refusals name them: "SELECT on Table 'main.shop.orders'"
  pending        answers that say PENDING before a statement runs
  rows_per_part  rows in a part of a result
  expired_links  parts that are refused before one is given
  refused        how questions about a statement are answered, in turn: "429", "503", "drop", "expired"
  lost           statements that begin with this word run, and their answer never comes
  faults         how requests of a phase are answered, in turn: {"submit": ["429"], "part": ["drop"]};
                 the phases are token, submit, poll, part, storage, upload, remove and close
  truncated      whether results say that rows were left out

usage: double.py --port PORT --home FOLDER [--cert FILE --key FILE]

With a certificate it also speaks TLS, at the port that it writes into FOLDER/tls_port.
"""

import argparse
import base64
import json
import pathlib
import ssl
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import encoding
from engine import Engine, Failed
from principals import Principal

WAREHOUSE = "1a2b3c4d5e6f7a8b"


class Statement:
    def __init__(self, principal, request):
        self.id = str(uuid.uuid4())
        self.principal, self.request = principal, request
        self.state, self.error, self.schema, self.table = "PENDING", None, None, None
        self.pending = principal.pending
        self.done = threading.Event()

    def run(self, engine):
        try:
            self.principal.allow(engine, self.request["statement"])
            parameters = {one["name"]: one.get("value") for one in self.request.get("parameters", [])}
            catalog, schema = self.request.get("catalog"), self.request.get("schema")
            self.schema, self.table = engine.run(self.request["statement"], parameters, catalog, schema)
            ended = "SUCCEEDED"
        except Failed as cause:
            ended, self.error = "FAILED", {"error_code": cause.code, "message": cause.message}
        except Exception as cause:  # noqa: BLE001: whatever it is, the statement ends
            ended, self.error = "FAILED", {"error_code": "INTERNAL_ERROR", "message": f"{type(cause).__name__}: {cause}"}
        if self.state != "CANCELED":
            self.state = ended
        self.done.set()

    def parts(self):
        if self.table is None or self.table.num_rows == 0:
            return []
        size = self.principal.rows_per_part
        return [self.table.slice(at, size) for at in range(0, self.table.num_rows, size)]

    def link(self, base, index):
        parts = self.parts()
        link = {
            "chunk_index": index,
            "row_offset": index * self.principal.rows_per_part,
            "row_count": parts[index].num_rows,
            "byte_count": parts[index].nbytes,
            "external_link": f"{base}/_storage/{self.id}/{index}?X-Amz-Signature={uuid.uuid4().hex}",
            "expiration": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 899)),
        }
        if index + 1 < len(parts):
            following = f"/api/2.0/sql/statements/{self.id}/result/chunks/{index + 1}?row_offset={link['row_offset'] + link['row_count']}"
            link |= {"next_chunk_index": index + 1, "next_chunk_internal_link": following}
        return link

    def answer(self, base):
        answer = {"statement_id": self.id, "status": {"state": self.state}}
        if self.error and self.state == "FAILED":
            answer["status"]["error"] = self.error
        if self.state != "SUCCEEDED":
            return answer
        parts, links = self.parts(), self.request.get("disposition", "INLINE") != "INLINE"
        described = encoding.columns(self.schema) if self.schema else []
        schema = {"column_count": len(described)}
        if described:
            schema["columns"] = described
        rows = self.table.num_rows if self.table is not None else 0
        manifest = {
            "format": self.request.get("format", "JSON_ARRAY"),
            "schema": schema,
            "total_chunk_count": (len(parts) if links else min(rows, 1)),
            "total_row_count": rows,
            "truncated": self.principal.truncated,
        }
        if links and self.request.get("result_compression"):
            manifest["result_compression"] = self.request["result_compression"]
        if parts:
            manifest["chunks"] = [
                {"chunk_index": at, "row_offset": at * self.principal.rows_per_part, "row_count": part.num_rows}
                for at, part in enumerate(parts if links else [self.table])
            ]
        answer["manifest"] = manifest
        if not parts:
            answer["result"] = {}
        elif links:
            answer["result"] = {"external_links": [self.link(base, 0)]}
        else:
            cells = encoding.rows(self.table)
            answer["result"] = {"chunk_index": 0, "row_offset": 0, "row_count": rows, "data_array": cells}
        return answer

    def stored(self, index):
        plain, framed = encoding.stream(self.parts()[index], frames=1 + index % 2)
        return framed if self.request.get("result_compression") == "LZ4_FRAME" else plain


class Workspace:
    def __init__(self, home):
        self.engine = Engine(home)
        self.principals, self.statements, self.sessions, self.tokens = {}, {}, set(), {}

    def principal(self, name):
        return self.principals.setdefault(name, Principal(name))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    workspace: Workspace
    base: str

    def answer(self, status, body, content_type="application/json", headers=()):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("content-type", content_type), ("content-length", str(len(raw))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def refuse(self, status, code, message, headers=()):
        self.answer(status, {"error_code": code, "message": message}, headers=headers)

    def go(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        address = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(address.path).rstrip("/"), dict(urllib.parse.parse_qsl(address.query))
        if path.startswith("/_double/"):
            return self.control(path.split("/")[2], raw)
        if path.startswith("/_storage/"):
            return self.storage(*path.split("/")[2:])
        if path == "/.well-known/databricks-config":
            return self.answer(200, {"oidc_endpoint": f"{self.base}/oidc", "workspace_id": "1", "host_type": "workspace"})
        if path.startswith("/oidc/"):
            return self.oidc(path, raw)
        bearer = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if not bearer:
            challenge = [("www-authenticate", 'Bearer realm="DatabricksRealm"')]
            return self.refuse(401, 401, "Credential was not sent or was of an unsupported type for this API.", challenge)
        who = self.workspace.principal(self.workspace.tokens.get(bearer, bearer))
        asks = self.command == "GET" and path.startswith("/api/2.0/sql/statements/")
        if self.fault(who.refusal(bearer, asks) or who.fault(phase(self.command, path), bearer)):
            return None
        if path.startswith("/api/2.0/sql/statements"):
            return self.statement(who, path, raw)
        if path.startswith("/api/2.0/fs/files/Volumes/"):
            return self.file(who, path.removeprefix("/api/2.0/fs/files/Volumes/"), raw)
        if path.startswith("/api/2.0/fs/directories/Volumes/"):
            return self.folder(who, path.removeprefix("/api/2.0/fs/directories"), query)
        return self.other(who, path, query)

    def fault(self, wrong):
        """Plays what goes wrong; tells whether something did."""
        if wrong == "drop":
            self.close_connection = True
        elif wrong == "429":
            self.refuse(429, "REQUEST_LIMIT_EXCEEDED", "too many requests", [("retry-after", "1")])
        elif wrong == "503":
            self.refuse(503, "TEMPORARILY_UNAVAILABLE", "The service is temporarily unavailable")
        elif wrong == "invalid":
            self.refuse(403, 403, "Invalid access token.")
        return bool(wrong)

    def statement(self, who, path, raw):
        known = self.workspace.statements
        parts = path.split("/")[5:]
        if self.command == "POST" and not parts:
            request = json.loads(raw)
            if request.get("warehouse_id") != WAREHOUSE:
                return self.refuse(404, "RESOURCE_DOES_NOT_EXIST", f"SQL warehouse {request.get('warehouse_id')} does not exist")
            if "CAN USE" in who.without:
                return self.refuse(403, "PERMISSION_DENIED", f"{who.name} is not authorized to use this SQL Endpoint.")
            statement = Statement(who, request)
            known[statement.id] = statement
            threading.Thread(target=statement.run, args=[self.workspace.engine], daemon=True).start()
            if who.lost and request["statement"].startswith(who.lost):
                statement.done.wait()
                self.close_connection = True
                return None
            wait = request.get("wait_timeout", "10s").removesuffix("s")
            if not statement.pending and float(wait) > 0:
                statement.done.wait(float(wait))
            return self.answer(200, self.shown(statement))
        statement = known.get(parts[0])
        if statement is None or statement.principal is not who:
            return self.refuse(404, "NOT_FOUND", f"The statement {parts[0]} was not found.")
        if self.command == "DELETE":
            del known[parts[0]]
            return self.answer(200, {})
        if parts[1:] == ["cancel"]:
            statement.state = "CANCELED"
            return self.answer(200, b"")
        if parts[1:3] == ["result", "chunks"]:
            if statement.request.get("disposition", "INLINE") == "INLINE":
                return self.answer(200, statement.answer(self.base)["result"])
            return self.answer(200, {"external_links": [statement.link(self.base, int(parts[3]))]})
        return self.answer(200, self.shown(statement))

    def shown(self, statement):
        if statement.pending > 0 and statement.state != "CANCELED":
            statement.pending -= 1
            return {"statement_id": statement.id, "status": {"state": "PENDING"}}
        return statement.answer(self.base)

    def storage(self, statement, index):
        error = "<Error><Code>{}</Code></Error>"
        if self.headers.get("authorization"):
            return self.answer(400, error.format("InvalidArgument").encode(), "application/xml")
        found = self.workspace.statements.get(statement)
        if found is None:
            return self.answer(404, error.format("NoSuchKey").encode(), "application/xml")
        if self.fault(found.principal.fault("storage")):
            return None
        if found.principal.expired_links > 0:
            found.principal.expired_links -= 1
            return self.answer(403, error.format("AccessDenied").encode(), "application/xml")
        return self.answer(200, found.stored(int(index)), "binary/octet-stream")

    def file(self, who, path, raw):
        volume = tuple(path.split("/")[:3])
        privilege = "READ VOLUME" if self.command in ("GET", "HEAD") else "WRITE VOLUME"
        lacking = who.lacking_volume(volume, privilege)
        if lacking:
            return self.refuse(403, "PERMISSION_DENIED", f"User does not have {lacking}.")
        place = self.workspace.engine.volumes / path
        if volume not in self.workspace.engine.known_volumes:
            return self.refuse(404, "NOT_FOUND", f"Volume '{'.'.join(volume)}' does not exist.")
        if self.command == "PUT":
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(raw)
            return self.answer(204, b"")
        if not place.is_file():
            return self.refuse(404, "NOT_FOUND", "The file does not exist.")
        if self.command == "DELETE":
            place.unlink()
            return self.answer(204, b"")
        return self.answer(200, place.read_bytes(), "application/octet-stream")

    def folder(self, who, path, query):
        """The files of a volume, two a page."""
        volume = tuple(path.split("/")[2:5])
        lacking = who.lacking_volume(volume, "READ VOLUME")
        if lacking:
            return self.refuse(403, "PERMISSION_DENIED", f"User does not have {lacking}.")
        if volume not in self.workspace.engine.known_volumes:
            return self.refuse(404, "NOT_FOUND", f"Volume '{'.'.join(volume)}' does not exist.")
        folder = self.workspace.engine.volumes.joinpath(*path.split("/")[2:])
        files = sorted(one for one in folder.iterdir() if one.is_file()) if folder.is_dir() else []
        start = int(query.get("page_token", "at 0").removeprefix("at "))
        page = {"contents": [
            {"path": f"{path}/{one.name}", "name": one.name, "is_directory": False,
             "file_size": one.stat().st_size, "last_modified": int(one.stat().st_mtime * 1000)}
            for one in files[start:start + 2]
        ]}
        if start + 2 < len(files):
            page["next_page_token"] = f"at {start + 2}"
        return self.answer(200, page)

    def oidc(self, path, raw):
        if path.endswith("oauth-authorization-server"):
            return self.answer(200, {"authorization_endpoint": f"{self.base}/oidc/v1/authorize", "token_endpoint": f"{self.base}/oidc/v1/token"})
        form = dict(urllib.parse.parse_qsl(raw.decode()))
        basic = (self.headers.get("authorization") or "").removeprefix("Basic ")
        name, _, secret = base64.b64decode(basic).decode().partition(":")
        if form.get("grant_type") != "client_credentials" or secret.startswith("wrong"):
            return self.answer(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
        if self.fault(self.workspace.principal(name).fault("token")):
            return None
        token = f"oauth-{uuid.uuid4().hex}"
        self.workspace.tokens[token] = name
        self.workspace.principal(name)
        return self.answer(200, {"access_token": token, "scope": "all-apis", "token_type": "Bearer", "expires_in": 3600})

    def other(self, who, path, query):
        if path == "/api/2.0/sql/sessions" and self.command == "POST":
            self.workspace.sessions.add(session := str(uuid.uuid4()))
            return self.answer(200, {"session_id": session})
        if path.startswith("/api/2.0/sql/sessions/") and self.command == "DELETE":
            return self.answer(200, {})
        if path == "/api/2.0/preview/scim/v2/Me":
            return self.answer(200, {"id": "1", "userName": who.name, "active": True, "groups": [{"display": "engineers"}]})
        if path == "/api/2.0/token/list":
            return self.answer(200, {"token_infos": who.tokens})
        if path.startswith("/api/2.0/sql/warehouses"):
            return self.warehouse(who, path.removeprefix("/api/2.0/sql/warehouses").strip("/"))
        if path.startswith("/api/2.1/unity-catalog/"):
            return self.catalog(who, path.removeprefix("/api/2.1/unity-catalog/"), query)
        return self.refuse(404, "ENDPOINT_NOT_FOUND", f"No API found for '{self.command} {path}'")

    def warehouse(self, who, name):
        state = "STARTING" if who.pending else "RUNNING"
        one = {"id": WAREHOUSE, "name": "Starter Warehouse", "state": state, "warehouse_type": "PRO", "enable_serverless_compute": False}
        if not name:
            return self.answer(200, {"warehouses": [one]})
        if name != WAREHOUSE:
            return self.refuse(404, "RESOURCE_DOES_NOT_EXIST", f"SQL warehouse {name} does not exist")
        if "CAN USE" in who.without:
            return self.refuse(403, "PERMISSION_DENIED", f"{who.name} does not have permission to view this SQL warehouse.")
        return self.answer(200, one)

    def catalog(self, who, path, query):
        engine = self.workspace.engine
        if path == "catalogs":
            names = sorted({catalog for catalog, _ in engine.listed()})
            return self.answer(200, {"catalogs": [{"name": name} for name in names]})
        if path == "schemas":
            names = [schema for catalog, schema in engine.listed() if catalog == query["catalog_name"]]
            return self.answer(200, {"schemas": [{"name": name, "catalog_name": query["catalog_name"]} for name in names]})
        for kind in ("catalogs", "schemas", "volumes"):
            if path.startswith(f"{kind}/"):
                return self.securable(who, kind, path.removeprefix(f"{kind}/").lower())
        if path.startswith("effective-permissions/"):
            return self.answer(200, {"privilege_assignments": who.assignments(*path.split("/")[1:3])})
        wanted = None
        if path.startswith("tables/"):
            *place, wanted = path.removeprefix("tables/").lower().split(".")
            if len(place) != 2:
                return self.refuse(400, "INVALID_PARAMETER_VALUE", "not a full name")
            lacking = who.lacking((*place, wanted), "SELECT")
            if lacking:
                return self.refuse(403, "PERMISSION_DENIED", f"User does not have {lacking}.")
        else:
            place = query["catalog_name"], query["schema_name"]
        found = []
        if tuple(place) in engine.listed():
            for name, *rest in engine.described(*place):
                if wanted is None or name.lower() == wanted:
                    found.append(described(place, name, *rest))
        if wanted is None:
            return self.answer(200, {"tables": found})
        if not found:
            return self.refuse(404, "TABLE_DOES_NOT_EXIST", f"Table '{'.'.join(place)}.{wanted}' does not exist.")
        return self.answer(200, found[0])

    def securable(self, who, kind, name):
        """A catalog, a schema or a volume, owned by another user."""
        engine = self.workspace.engine
        known = {
            "catalogs": {catalog.lower() for catalog, _ in engine.listed()},
            "schemas": {f"{catalog}.{schema}".lower() for catalog, schema in engine.listed()},
            "volumes": {".".join(volume).lower() for volume in engine.known_volumes},
        }
        word = kind.removesuffix("s").upper()
        if name not in known[kind]:
            return self.refuse(404, f"{word}_DOES_NOT_EXIST", f"{word.capitalize()} '{name}' does not exist.")
        return self.answer(200, {"name": name.split(".")[-1], "full_name": name, "owner": "administrator"})

    def control(self, name, raw):
        who = self.workspace.principal(name)
        if self.command == "PUT":
            who.set(json.loads(raw))
        running = sum(statement.principal is who for statement in self.workspace.statements.values())
        files = sorted(str(path.relative_to(self.workspace.engine.volumes)) for path in self.workspace.engine.volumes.rglob("*") if path.is_file())
        left = sum(len(faults) for faults in who.faults.values())
        if self.command == "DELETE":
            # The history of a table before any OPTIMIZE.
            self.workspace.engine.optimized[name] = 0
        optimized = sorted(table for table, at in self.workspace.engine.optimized.items() if at)
        return self.answer(200, {"open": running, "files": files, "requests": who.requests, "faults": left, "optimized": optimized})

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = go

    def log_message(self, *_):
        pass


def phase(method, path):
    """What a request is for, as faults are named by it."""
    if path.startswith("/api/2.0/fs/files/"):
        return {"PUT": "upload", "DELETE": "remove"}.get(method, "other")
    if not path.startswith("/api/2.0/sql/statements"):
        return "other"
    if method == "POST":
        return "close" if path.endswith("/cancel") else "submit"
    if method == "DELETE":
        return "close"
    return "part" if "/result/chunks/" in path else "poll"


def described(place, name, schema, key, table_id, properties):
    columns = [
        {"name": one["name"], "type_text": one["type_text"].lower(), "type_name": one["type_name"], "position": one["position"]}
        for one in encoding.columns(schema)
    ]
    for column, field in zip(columns, schema.fields):
        if column["type_name"] in ("STRUCT", "ARRAY", "MAP"):
            column["type_text"] = encoding.type_of(field.dataType)[1].replace(": ", ":").replace(", ", ",")
    table = {"name": name, "catalog_name": place[0], "schema_name": place[1], "table_type": "MANAGED", "columns": columns}
    table |= {"table_id": table_id, "properties": properties}
    if key:
        table["table_constraints"] = [{"primary_key_constraint": {"name": "pk", "child_columns": key}}]
    return table


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--home", type=pathlib.Path, required=True)
    arguments.add_argument("--cert")
    arguments.add_argument("--key")
    given = arguments.parse_args()
    Handler.workspace = Workspace(given.home)
    ThreadingHTTPServer.request_queue_size = 128
    if given.cert:
        secured = serving(0, "https")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.cert, given.key)
        secured.socket = context.wrap_socket(secured.socket, server_side=True)
        (given.home / "tls_port").write_text(str(secured.server_address[1]))
        threading.Thread(target=secured.serve_forever, daemon=True).start()
    serving(given.port, "http").serve_forever()


def serving(port, scheme):
    """A server whose addresses of results are its own."""
    handler = type("Handler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    handler.base = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    return server


main()
