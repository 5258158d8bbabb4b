"""A double of BigQuery, on loopback: Google's logins and faults in front of an emulator of others.

The SQL and most answers are those of local-bigquery, which takes any login and never fails. Here tokens
are granted to service accounts that prove their key (tokens.py), and jobs are known to who made them.
`PUT /_double/NAME` says what the account NAME@… lacks and what goes wrong for it, so tests that run at
once do not disturb each other:

  without        permissions: "bigquery.jobs.create", "bigquery.tables.getData", "bigquery.tables.create" …,
                 "bigquery.readsessions.create" for the Storage Read API (storage.py),
                 "iam.serviceAccounts.getAccessToken" for a workload that asks for a token of the account
  pending        answers that say jobComplete: false before a result is given
  empty_pages    pages without rows that name a page after them
  rows_per_page  rows in a page, at most; rows_per_message those of a message of the Storage Read API
  bytes          what a dry run says that a query processes, and what maximumBytesBilled is held to
  any_time       whether the times of a signed assertion count whatever they are: for clocks of tests
  seconds        how long tokens last; an hour if absent
  location       where jobs run; outside of US and EU, who asks for one has to say it
  faults         how requests of a phase are answered, in turn: {"submit": ["429"], "page": ["drop"]};
                 the phases are token, submit, dry, poll, page, table, list, make, remove, cancel, load and
                 upload (what follows the first request of a resumable upload), the words those of
                 principals.py, "drop", "lost" for a request that counts without an answer, and "fails" for a
                 job that fails in BigQuery; "" lets one pass

usage: double.py --port PORT --home FOLDER --key FILE
"""

import argparse
import datetime
import http.client
import json
import pathlib
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from principals import FAULTS, Drop, Principal, Refusal
from results import Results, is_read
from tokens import SCOPES, Refused, Tokens, prove_time

ACCOUNTS = "/computeMetadata/v1/instance/service-accounts/default/"
API = "/bigquery/v2/projects/"
IMPERSONATION = "/iam/v1/projects/-/serviceAccounts/"
# The scopes that may ask for a token of a service account.
ASKING = {"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/iam"}


class Service:
    def __init__(self, emulator, key):
        self.emulator, self.tokens, self.principals = emulator, Tokens(key), {}
        self.results = Results(self.ask)
        self.workloads, self.storage = {}, None

    def principal(self, name):
        return self.principals.setdefault(name, Principal(name))

    def ask(self, method, path, query, raw, headers):
        """Passes a request on. Returns the status, the headers and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator, timeout=120)
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        connection.request(method, target, raw or None, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service
    base: str

    def answer(self, status, body, headers=()):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("content-type", "application/json; charset=UTF-8"), ("content-length", str(len(raw))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def go(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        address = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        try:
            self.route(address.path.replace("/upload/bigquery", "/bigquery"), address.path, query, raw)
        except Drop:
            self.close_connection = True
        except Refused as cause:
            code, message = cause.args
            self.answer(400, {"error": code, "error_description": message})
        except Refusal as cause:
            one = {"message": cause.message, "domain": "global", "reason": cause.reason}
            said = {"code": cause.status, "message": cause.message, "errors": [one], "status": "UNKNOWN"}
            headers = [("retry-after", cause.retry_after)] if cause.retry_after else []
            self.answer(cause.status, {"error": said}, headers)

    def route(self, path, asked, query, raw):
        if path.startswith("/_double/"):
            who = self.service.principal(path.split("/")[2])
            if self.command == "PUT":
                who.set(json.loads(raw))
            return self.answer(200, who.seen() | {"storage": f"http://127.0.0.1:{self.service.storage}"})
        if path == "/token":
            claims = self.service.tokens.claims(raw.decode(), f"{self.base}/token")
            name = claims["iss"].split("@")[0]
            if not self.service.principal(name).any_time:
                prove_time(claims)
            return self.granted(name)
        if path == "/sts/token":
            name, scopes = self.service.tokens.exchanged(raw.decode())
            who = self.service.principal(name)
            who.fault("token")
            granted = self.service.tokens.grant(name, who.seconds)
            # What a token is good for is what was asked for.
            if scopes & ASKING:
                self.service.workloads[granted["access_token"]] = name
            if not scopes & SCOPES:
                del self.service.tokens.known[granted["access_token"]]
            return self.answer(200, granted | {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
        if path.startswith(IMPERSONATION) and path.endswith(":generateAccessToken"):
            return self.impersonated(path, json.loads(raw))
        if path == "/idp/token":
            # What a platform offers to its machines: a token of the workload that a header names.
            return self.answer(200, {"value": self.headers.get("x-workload-token") or ""})
        if path.startswith(ACCOUNTS):
            if self.headers.get("metadata-flavor") != "Google":
                return self.answer(403, b"Missing Metadata-Flavor:Google header.")
            if path.endswith("/email"):
                return self.answer(200, b"machine@p.iam.gserviceaccount.com")
            return self.granted("machine")
        bearer = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if bearer == "admin":
            self.service.results.forget(path + raw.decode(errors="replace"))
            return self.passed(*self.forward(asked, query, raw))
        name = self.service.tokens.known.get(bearer)
        if name is None:
            raise Refusal(401, "authError", "Request is missing required authentication credential.")
        who = self.service.principal(name)
        who.requests.append(f"{self.command} {self.path}")
        return self.asked(who, bearer, path, asked, query, raw)

    def granted(self, name):
        who = self.service.principal(name)
        who.fault("token")
        self.answer(200, self.service.tokens.grant(name, who.seconds))

    def impersonated(self, path, body):
        """A token of a service account, for a workload. Source: IAM Service Account Credentials API."""
        email = path.removeprefix(IMPERSONATION).removesuffix(":generateAccessToken")
        name = self.service.workloads.get((self.headers.get("authorization") or "").removeprefix("Bearer "))
        if name is None:
            raise Refusal(401, "authError", "Request had invalid authentication credentials.")
        who = self.service.principal(email.split("@")[0])
        if name != who.name or "iam.serviceAccounts.getAccessToken" in who.without:
            raise Refusal(403, "forbidden", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
        seconds = int(body.get("lifetime", "3600s").removesuffix("s"))
        if not SCOPES & set(body["scope"]) or not 0 < seconds <= 3600:
            raise Refusal(400, "badRequest", "Request contains an invalid argument.")
        seconds = min(seconds, who.seconds)
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        token = self.service.tokens.grant(who.name)["access_token"]
        self.answer(200, {"accessToken": token, "expireTime": until.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def kept(self):
        return {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "content-encoding", "content-range")}

    def forward(self, path, query, raw):
        return self.service.ask(self.command, path, query, raw, self.kept())

    def passed(self, status, headers, body):
        more = [(name, value) for name, value in headers.items() if name.lower() in ("location", "range")]
        more = [(name, value.replace(f":{self.service.emulator}/", f":{self.server.server_address[1]}/")) for name, value in more]
        self.answer(status, body, more)

    def asked(self, who, token, path, asked, query, raw):
        """A request to the API, by someone with a token."""
        project, *rest = path.removeprefix(API).split("/")
        is_upload = asked != path
        body = loaded(self.headers.get("content-type") or "", raw) if is_upload else json.loads(raw) if raw else {}
        is_dry = bool(body.get("configuration", {}).get("dryRun") or body.get("dryRun"))
        lost = who.fault(phase(self.command, rest, query, is_dry, body), token)
        if self.command == "POST" and rest in (["jobs"], ["queries"]):
            who.allow("bigquery.jobs.create", project)
            self.submitted(who, project, body, is_dry, lost == "fails")
        elif rest[:1] == ["datasets"]:
            self.catalogued(who, project, rest)
        elif len(rest) >= 2 and rest[0] in ("jobs", "queries"):
            if who.location not in ("US", "EU") and query.get("location") != who.location:
                raise Refusal(404, "notFound", f"Not found: Job {project}:{rest[1]}")
            if rest[0] == "queries":
                return self.page(who, project, rest[1], asked, query)
        status, headers, answered = self.answered(who, rest, asked, query, raw, body, is_dry)
        if lost == "lost":
            raise Drop
        if rest[2:] == ["cancel"]:
            who.cancelled += 1
            # A page that is on its way does not open it again.
            who.jobs.setdefault(rest[1], {"failure": None}).update(open=False, cancelled=True)
        told = rest[:1] == ["jobs"] and len(rest) < 3 and not is_dry and status == 200
        if told and who.pending > 0:
            who.pending -= self.command == "GET"
            running = json.loads(answered) | {"status": {"state": "RUNNING"}}
            answered = json.dumps(running).encode()
        if who.bytes or who.location != "US":
            answered = dressed(who, answered)
        return self.passed(status, headers, answered)

    def answered(self, who, rest, asked, query, raw, body, is_dry):
        """What the emulator answers, or has answered before."""
        results = self.service.results
        statement = body.get("configuration", {}).get("query", {}).get("query")
        if rest == ["jobs"] and self.command == "POST" and is_read(statement):
            if is_dry:
                return results.answer("POST", asked, query, raw, self.kept())
            status, headers, answered, source = results.submitted(asked, query, body, self.kept())
            who.jobs.setdefault(body["jobReference"].get("jobId") or source, {"open": True, "failure": None})["source"] = source
            return status, headers, answered
        if self.command == "GET" and rest[:1] == ["datasets"] and len(rest) == 4:
            return results.answer("GET", asked, query, raw, self.kept())
        name = rest[1] if len(rest) == 2 else (body.get("jobReference") or {}).get("jobId")
        failure = who.jobs.get(name, {}).get("failure") if rest[0] == "jobs" else None
        if failure and (self.command == "GET" or query.get("uploadType") != "resumable"):
            # What changes something fails without a change, and says so when it is asked for.
            return 200, {}, failed(who, name, failure if self.command == "GET" else None)
        if self.command == "PUT" and rest == ["jobs"]:
            status, headers, answered = self.forward(asked, query, raw)
            name = json.loads(answered)["jobReference"]["jobId"] if status == 200 else None
            failure = who.jobs.get(name, {}).get("failure")
            return status, headers, failed(who, name, None) if failure else answered
        if len(rest) >= 2 and rest[0] == "jobs":
            source = who.jobs.get(rest[1], {}).get("source", rest[1])
            if rest[2:] == ["cancel"] and source != rest[1]:
                return 200, {}, json.dumps({"kind": "bigquery#jobCancelResponse", "job": {}}).encode()
            status, headers, answered = self.forward(asked.replace(rest[1], source), query, raw)
            return status, headers, answered.replace(source.encode(), rest[1].encode())
        if self.command != "GET":
            results.forget(asked + raw.decode(errors="replace"))
        return self.forward(asked, query, raw)

    def submitted(self, who, project, body, is_dry, fails):
        query = body.get("configuration", {}).get("query", body)
        reference = body.get("jobReference") or {}
        job, failure = reference.get("jobId"), Refusal(*FAULTS["job"][:3]) if fails else None
        limit = int(query.get("maximumBytesBilled") or body.get("maximumBytesBilled") or 2**62)
        try:
            who.allow_query(query.get("query") or "", project)
            who.allow_load(body.get("configuration", {}).get("load"))
            if who.bytes > limit:
                raise Refusal(400, "bytesBilledLimitExceeded", f"Query exceeded limit for bytes billed: {limit}. {who.bytes} or higher required.")
        except Refusal as cause:
            if is_dry and cause.status == 403:
                raise
            failure = cause
        if job in who.jobs and not is_dry:
            raise Refusal(409, "duplicate", f"Already Exists: Job {project}:{job}")
        if job and not is_dry:
            who.jobs[job] = {"open": is_read(query.get("query")), "failure": failure}

    def catalogued(self, who, project, rest):
        if rest == ["datasets"]:
            who.allow("bigquery.datasets.create" if self.command == "POST" else "bigquery.datasets.get", project)
        elif len(rest) == 2:
            who.allow("bigquery.datasets.get", project, rest[1:2])
        elif len(rest) == 3 and self.command == "POST":
            who.allow("bigquery.tables.create", project, rest[1:2])
        elif len(rest) == 3:
            who.allow("bigquery.tables.list", project, rest[1:2])
        elif len(rest) == 4:
            permission = {"GET": "bigquery.tables.get", "DELETE": "bigquery.tables.delete"}.get(self.command, "bigquery.tables.update")
            who.allow(permission, project, [rest[1], rest[3]])

    def page(self, who, project, name, asked, query):
        job = who.jobs.setdefault(name, {"open": True, "failure": None})
        if job["failure"]:
            job["open"] = False
            raise job["failure"]
        if who.pending > 0:
            who.pending -= 1
            reference = {"projectId": project, "jobId": name, "location": who.location}
            return self.answer(200, {"kind": "bigquery#getQueryResultsResponse", "jobReference": reference, "jobComplete": False})
        start = int(query.get("pageToken", "after.0").removeprefix("after."))
        rows = min(int(query.get("maxResults") or 10_000), who.rows_per_page)
        if query.get("maxResults") == "0":
            rows = 0
        is_empty = who.empty_pages > 0 and rows > 0
        status, said = self.service.results.page(asked, job.get("source", name), name, query, start, 0 if is_empty else rows)
        who.empty_pages -= is_empty
        job["open"] = status == 200 and "cancelled" not in job and (said.get("pageToken") is not None or not said["jobComplete"])
        raw = json.dumps(said).encode()
        self.answer(status, raw if who.location == "US" and not who.bytes else dressed(who, raw))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = go

    def log_message(self, *_):
        pass


def failed(who, name, failure):
    """A job that has failed; one that runs if there is no failure."""
    status = {"state": "RUNNING"}
    if failure:
        status = {"state": "DONE", "errorResult": {"reason": failure.reason, "message": failure.message}}
    reference = {"projectId": "shop", "jobId": name, "location": who.location}
    return json.dumps({"kind": "bigquery#job", "jobReference": reference, "status": status}).encode()


def loaded(media_type, raw):
    """The job of an upload: the first part of a multipart one, the first request of a resumable one."""
    if media_type.startswith("multipart/"):
        boundary = media_type.split("boundary=")[1].strip('"').encode()
        raw = raw.split(b"--" + boundary)[1].split(b"\r\n\r\n", 1)[1]
    elif not media_type.startswith("application/json"):
        return {}
    return json.loads(raw)


def phase(method, rest, query, is_dry, body):
    """What a request is for, as faults are named by it."""
    if method == "PUT":
        return "upload"
    if method == "DELETE":
        return "remove"
    if method == "POST" and rest[-1] == "cancel":
        return "cancel"
    if method == "POST" and rest[:1] == ["datasets"]:
        return "make"
    if method == "POST":
        return "dry" if is_dry else "load" if "load" in body.get("configuration", {}) else "submit"
    if rest[:1] == ["datasets"]:
        return "table" if len(rest) == 4 else "list"
    return "page" if query.get("pageToken") else "poll"


def dressed(who, body):
    """An answer with the bytes and the place that the account was given."""
    said = json.loads(body)

    def walk(part):
        if isinstance(part, dict):
            for name, value in part.items():
                if name in ("totalBytesProcessed", "totalBytesBilled") and who.bytes:
                    part[name] = str(who.bytes)
                elif name == "location" and value == "US":
                    part[name] = who.location
                elif name != "rows":
                    walk(value)

    walk(said)
    return json.dumps(said).encode()


def emulator(home):
    """Starts local-bigquery in this process. Returns its port."""
    import duckdb_extensions
    import uvicorn

    for name in ("ducklake", "icu", "spatial"):
        duckdb_extensions.import_extension(name)
    from local_bigquery import app
    from local_bigquery.settings import settings

    settings.data_dir = home / "data"
    rest = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=rest.run, daemon=True)
    thread.start()
    while not rest.started and thread.is_alive():
        thread.join(0.01)
    return rest.servers[0].sockets[0].getsockname()[1]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--home", type=pathlib.Path, required=True)
    arguments.add_argument("--key", type=pathlib.Path, required=True)
    given = arguments.parse_args()
    Handler.service = Service(emulator(given.home), given.key.read_bytes())
    import storage

    _serving, Handler.service.storage = storage.start(Handler.service)
    Handler.base = f"http://127.0.0.1:{given.port}"
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


main()
