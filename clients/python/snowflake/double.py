"""A double of Snowflake's SQL API v2, on loopback.

It answers as the documentation and recorded answers do, and runs SQL on an engine of others (engine.py).
Who asks is known by the token; `PUT /_double/USER` says what that user's role lacks and what goes wrong for
it, so tests that run at once do not disturb each other:

  without        privileges: "SELECT on TABLE SHOP.S1.ORDERS", "USAGE on WAREHOUSE TIDEGATE_WH", "ROLE TIDEGATE_ROLE"
  auto_resume    whether the warehouse, which is suspended, resumes by itself
  pending        answers that say 202 before a statement runs
  pending_for    how statements begin that `pending` is about; all if absent
  rows_per_part  rows in a partition of a result
  lost           statements that begin with this word run, and their answer never comes
  too_large      whether results say that they are not complete (391908)
  faults         how requests of a phase are answered, in turn: {"submit": ["429"], "part": ["drop"]};
                 the phases are submit, poll, part and cancel
  stages         external stages: {"SHOP.S1.STAGE": "http://S3/BUCKET/FOLDER"}
  public_keys    keys of this user instead of that of `--public-key`, PEM
  seconds        how long tokens of OAuth last that are granted here; ten minutes if absent
  rotates        whether a refresh token counts once, and is replaced by another one

The fault "expired" refuses one request; "ended" ends a token that was granted here, for all requests from now on.

Tokens: a JWT by RS256 as documented, `oauth-USER`, `pat-USER` and those that are granted at `/oauth/token-request` and
`/idp/token` (oauth.py), with or without the header that names their type. `oauth-ADMIN` runs what tests prepare.

usage: double.py --port PORT --public-key FILE
"""

import argparse
import base64
import gzip
import hashlib
import json
import pathlib
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cells
import jwt
from cryptography.hazmat.primitives import serialization
from engine import Engine, Failed
from oauth import Clients, NoToken
from principals import Principal

IN_PROGRESS = "Asynchronous execution in progress. Use provided query id to perform query monitoring and management."
SYNCHRONOUS_SECONDS = 45


def fingerprint(key):
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


class Statement:
    def __init__(self, who, request):
        self.handle, self.who, self.request = str(uuid.uuid4()), who, request
        waits = request["statement"].lstrip().startswith(who.pending_for)
        self.created, self.pending = int(time.time() * 1000), who.pending if waits else 0
        self.state, self.error, self.described, self.rows, self.counts = "running", None, [], [], {}
        self.done = threading.Event()

    def run(self, engine):
        try:
            self.described, table, self.counts = engine.run(self.who, self.request)
            given = {name.upper(): value for name, value in (self.request.get("parameters") or {}).items()}
            self.rows = cells.rows(table, self.described, given)
            ended = "succeeded"
        except Failed as cause:
            ended, self.error = "failed", cause
        except Exception as cause:  # noqa: BLE001: whatever it is, the statement ends
            ended, self.error = "failed", Failed("000603", "XX000", f"SQL execution internal error: {type(cause).__name__}: {cause}")
        if self.state == "running":
            self.state = ended
        self.done.set()

    @property
    def parts(self):
        size = self.who.rows_per_part
        return [self.rows[at : at + size] for at in range(0, len(self.rows), size)] or [[]]

    def metadata(self):
        described = []
        for at, part in enumerate(self.parts):
            plain = len(json.dumps(part))
            described.append({"rowCount": len(part), "uncompressedSize": plain} | ({"compressedSize": plain // 4} if at else {}))
        return {"numRows": len(self.rows), "format": "jsonv2", "rowType": self.described, "partitionInfo": described}


class Account:
    def __init__(self, public_key):
        self.engine, self.key = Engine(), public_key
        self.principals, self.statements, self.requests = {}, {}, {}
        self.lock = threading.Lock()
        self.clients = Clients(self.principal)

    def principal(self, name):
        return self.principals.setdefault(name, Principal(name))

    def authenticated(self, token, kind):
        """Whose token it is; None if it is not accepted."""
        for start, name in [("oauth-", "OAUTH"), ("pat-", "PROGRAMMATIC_ACCESS_TOKEN")]:
            if token.startswith(start) and kind in (None, name):
                return self.principal(token.removeprefix(start).upper())
        if kind in (None, "OAUTH") and (who := self.clients.authenticated(token)):
            return who
        if kind not in (None, "KEYPAIR_JWT"):
            return None
        try:
            claimed = jwt.decode(token, options={"verify_signature": False})
            who = self.principal(claimed["sub"].split(".", 1)[1])
            keys = [serialization.load_pem_public_key(one.encode()) for one in who.public_keys] or [self.key]
            key = next(one for one in keys if claimed["iss"] == f"{claimed['sub']}.{fingerprint(one)}")
            sure = jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False, "verify_iat": False})
        except (jwt.InvalidTokenError, StopIteration, KeyError, IndexError):
            return None
        account, _, user = sure["sub"].partition(".")
        in_seconds = [at / 1000 if at > 10**11 else at for at in (sure["iat"], sure["exp"])]
        written = account == account.upper() and "." not in user and user == user.upper()
        lasts = in_seconds[0] - 60 <= time.time() <= min(in_seconds[1], in_seconds[0] + 3600)
        return who if written and lasts else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    account: Account

    def answer(self, status, body, headers=()):
        raw = b"" if body is None else json.dumps(body).encode()
        if ("content-encoding", "gzip") in headers:
            raw = gzip.compress(raw, 1)
        self.send_response(status)
        for name, value in [("content-type", "application/json"), ("content-length", str(len(raw))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def refuse(self, status, code, message, **more):
        headers = more.pop("headers", ())
        self.answer(status, {"code": code, "message": message, **more}, headers)

    def fault(self, wrong, token=None):
        """Plays what goes wrong; tells whether something did."""
        if wrong == "drop":
            self.close_connection = True
        elif wrong == "429":
            self.refuse(429, "390505", "Too many requests.", headers=[("retry-after", "1")])
        elif wrong == "503":
            self.refuse(503, "390503", "Service unavailable.")
        elif wrong == "expired":
            self.refuse(401, "390144", f"JWT token is invalid. [{uuid.uuid4()}]")
        elif wrong == "ended":
            self.account.clients.end(token)
            self.refuse(401, "390318", f"OAuth access token expired. [{uuid.uuid4()}]")
        return bool(wrong)

    def go(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        address = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        path = [urllib.parse.unquote(part) for part in address.path.split("/") if part]
        if path[:1] == ["_double"]:
            return self.control(path[1].upper(), raw)
        if address.path in ("/oauth/token-request", "/idp/token"):
            return self.grant(raw.decode(), address.path.startswith("/oauth/"))
        token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        kind = self.headers.get("x-snowflake-authorization-token-type")
        who = self.account.authenticated(token, kind)
        if who is None:
            code, said = ("390144", "JWT token is invalid.") if kind in (None, "KEYPAIR_JWT") else ("390303", "Invalid OAuth access token.")
            return self.refuse(401, code, f"{said} [{uuid.uuid4()}]")
        if not self.headers.get("user-agent"):
            return self.refuse(400, "390142", "Incoming request does not contain a valid payload.")
        if path[:3] != ["api", "v2", "statements"]:
            return self.answer(404, None)
        phase = "submit" if len(path) == 3 else "cancel" if path[4:] == ["cancel"] else "part" if query.get("partition", "0") != "0" else "poll"
        if self.fault(who.fault(phase), token):
            return None
        if len(path) == 3:
            return self.submit(who, raw, query) if self.command == "POST" else self.answer(405, None)
        statement = self.account.statements.get(path[3])
        if statement is None or statement.who is not who:
            return self.refuse(422, "000709", f"Statement {path[3]} not found", sqlState="02000", statementHandle=path[3])
        if path[4:] == ["cancel"] and self.command == "POST":
            return self.cancel(statement)
        return self.show(statement, int(query.get("partition", 0))) if self.command == "GET" else self.answer(405, None)

    def grant(self, body, is_snowflake):
        try:
            return self.answer(200, self.account.clients.granted(self.headers.get("authorization") or "", body, is_snowflake))
        except NoToken as cause:
            status, code, said = cause.args
            # Snowflake names its sentence in its own way.
            return self.answer(status, {"error": code, "message" if is_snowflake else "error_description": said})

    def submit(self, who, raw, query):
        if not (self.headers.get("content-type") or "").startswith("application/json"):
            return self.answer(415, None)
        try:
            request = json.loads(raw)
            begins = request["statement"].lstrip()
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.refuse(400, "390142", "Incoming request does not contain a valid payload.")
        role = request.get("role")
        if role and (role != role.upper() or f"ROLE {role}" in who.without):
            said = f"Role '{role}' specified in the connect string is not granted to this user. Contact your local system administrator, or attempt to login with another role, e.g. PUBLIC."
            return self.refuse(403, "390189", said)
        with self.account.lock:
            earlier = self.account.requests.get(query.get("requestId")) if query.get("retry") == "true" else None
            statement = earlier if earlier and earlier.state not in ("failed", "canceled") else Statement(who, request)
            if statement is not earlier:
                self.account.statements[statement.handle] = statement
                self.account.requests[query.get("requestId")] = statement
                who.statements.append(request["statement"])
                threading.Thread(target=statement.run, args=[self.account.engine], daemon=True).start()
        if who.lost and begins.upper().startswith(who.lost.upper()):
            who.lost = None
            statement.done.wait()
            self.close_connection = True
            return None
        if query.get("async") != "true" and not statement.pending:
            statement.done.wait(SYNCHRONOUS_SECONDS)
        elif query.get("async") == "true" and statement.state == "running":
            # An asynchronous statement has its handle first, whatever comes of it.
            return self.running(statement)
        return self.show(statement, 0)

    def running(self, statement):
        place = f"/api/v2/statements/{statement.handle}"
        self.answer(202, {"code": "333334", "message": IN_PROGRESS, "statementHandle": statement.handle, "statementStatusUrl": place})

    def show(self, statement, part):
        place = f"/api/v2/statements/{statement.handle}"
        known = {"statementHandle": statement.handle, "statementStatusUrl": place}
        if statement.state == "running" or (statement.pending > 0 and statement.state == "succeeded"):
            statement.pending -= 1
            return self.running(statement)
        if statement.state == "canceled":
            return self.refuse(422, "000604", "SQL execution canceled", sqlState="57014", **known)
        if statement.state == "failed":
            wrong = statement.error
            return self.refuse(422, wrong.code, wrong.message, sqlState=wrong.state, createdOn=statement.created, **known)
        parts = statement.parts
        if part >= len(parts):
            return self.refuse(422, "391917", "The partition is out of range.", sqlState="42601", **known)
        if part:
            return self.answer(200, {"data": parts[part]}, [("content-encoding", "gzip")])
        ordered = [("first", 0)] + ([("next", 1)] if len(parts) > 1 else []) + [("last", len(parts) - 1)]
        link = ",".join(f'<{place}?requestId={uuid.uuid4()}&partition={at}>; rel="{name}"' for name, at in ordered)
        code = "391908" if statement.who.too_large else "090001"
        body = {"resultSetMetaData": statement.metadata(), "data": parts[0], "code": code, "sqlState": "00000", "message": "Statement executed successfully.",
                "createdOn": statement.created, **known}
        if statement.counts:
            body["stats"] = statement.counts
        self.answer(200, body, [("link", link)])

    def cancel(self, statement):
        known = {"statementHandle": statement.handle, "statementStatusUrl": f"/api/v2/statements/{statement.handle}"}
        if statement.state != "running" and statement.pending <= 0:
            return self.refuse(422, "000709", f"Statement {statement.handle} not found", sqlState="02000", **known)
        statement.state = "canceled"
        self.answer(200, {"code": "000604", "sqlState": "57014", "message": "SQL execution canceled", **known})

    def control(self, name, raw):
        who = self.account.principal(name)
        if self.command == "PUT":
            who.set(json.loads(raw))
        mine = [one for one in self.account.statements.values() if one.who is who]
        going = [one for one in mine if one.state == "running" or (one.state == "succeeded" and one.pending > 0)]
        faults = sum(len(one) for one in who.faults.values())
        self.answer(200, {"open": len(going), "faults": faults, "statements": who.statements, "lost": who.lost, "granted": who.granted})

    do_GET = do_POST = do_PUT = do_DELETE = go

    def log_message(self, *_):
        pass


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--public-key", required=True)
    given = arguments.parse_args()
    key = serialization.load_pem_public_key(pathlib.Path(given.public_key).read_bytes())
    Handler.account = Account(key)
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


main()
