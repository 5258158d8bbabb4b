"""Who asks: what they may do, and what goes wrong for them."""

import re
import threading

NAMED = re.compile(r"`([^`]+)`\.`([^`]+)`\.`([^`]+)`")
# What a statement that does not only read needs on what it names first, and what a name of two parts is.
CHANGES = {
    "MERGE": "bigquery.tables.updateData",
    "ALTER TABLE": "bigquery.tables.update",
    "CREATE TABLE": "bigquery.tables.create",
    "CREATE SCHEMA": "bigquery.datasets.create",
}


class Refusal(Exception):
    """An error answer: the HTTP status, the reason and the sentence."""

    def __init__(self, status, reason, message, retry_after=None):
        super().__init__(message)
        self.status, self.reason, self.message, self.retry_after = status, reason, message, retry_after


class Drop(Exception):
    """The connection is closed without an answer."""


# How a fault of each word is answered. Source: BigQuery docs, "Error messages".
FAULTS = {
    "429": (429, "rateLimitExceeded", "Exceeded rate limits: too many api requests per user per method", "1"),
    "rate": (403, "rateLimitExceeded", "Exceeded rate limits: too many concurrent queries for this project_and_region", None),
    "quota": (403, "quotaExceeded", "Custom quota exceeded: Your usage exceeded the custom quota for QueryUsagePerDay", None),
    "500": (500, "internalError", "An internal error occurred and the request could not be completed.", None),
    "503": (503, "backendError", "Error encountered during execution. Retrying may solve the problem.", None),
    "job": (400, "jobBackendError", "The job encountered an internal error during execution. Retrying may solve the problem.", None),
    "jobrate": (400, "jobRateLimitExceeded", "Job exceeded rate limits", None),
    "none": (400, "invalid", "request failed: the table is too small to be read by a session", None),
    "expired": (401, "authError", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.", None),
}


class Principal:
    def __init__(self, name):
        self.name = name
        self.refused_tokens = set()
        self.jobs = {}
        self.lock = threading.Lock()
        self.set({})

    def set(self, given):
        self.without = set(given.get("without", []))
        self.pending = given.get("pending", 0)
        self.empty_pages = given.get("empty_pages", 0)
        self.rows_per_page = given.get("rows_per_page", 100_000)
        self.bytes = given.get("bytes", 0)
        self.location = given.get("location", "US")
        self.faults = {phase: list(faults) for phase, faults in given.get("faults", {}).items()}
        self.any_time = given.get("any_time", False)
        self.rows_per_message = given.get("rows_per_message", 5_000)
        self.seconds = given.get("seconds", 3599)
        self.cancelled, self.requests = 0, []

    def seen(self):
        opened = sum(job["open"] for job in self.jobs.values())
        left = sum(len(faults) for faults in self.faults.values())
        return {"open": opened, "faults": left, "cancelled": self.cancelled, "jobs": len(self.jobs), "requests": self.requests}

    def fault(self, phase, token=None):
        """Plays what goes wrong with a request of a phase. Returns what does not show in an answer: "lost", "fails"."""
        with self.lock:
            wrong = self.faults[phase].pop(0) if self.faults.get(phase) else None
        if token in self.refused_tokens or wrong == "expired":
            self.refused_tokens.add(token)
            raise Refusal(*FAULTS["expired"])
        if wrong == "drop":
            raise Drop
        if wrong in FAULTS:
            raise Refusal(*FAULTS[wrong])
        return wrong if wrong in ("lost", "fails", "cut", "short") else None

    def allow(self, permission, project, names=()):
        """Refuses what the principal may not do, as BigQuery words it."""
        if permission not in self.without:
            return
        table = f"{project}:{'.'.join(names)}"
        raise Refusal(403, "accessDenied", {
            "bigquery.readsessions.create": f"Permission 'bigquery.readsessions.create' denied on resource 'projects/{project}' (or it may not exist).",
            "bigquery.jobs.create": f"Access Denied: Project {project}: User does not have bigquery.jobs.create permission in project {project}.",
            "bigquery.tables.get": f"Access Denied: Table {table}: Permission bigquery.tables.get denied on table {table} (or it may not exist).",
            "bigquery.tables.getData": f"Access Denied: Table {table}: User does not have permission to query table {table}, or perhaps it does not exist.",
            "bigquery.tables.list": f"Access Denied: Dataset {table}: Permission bigquery.tables.list denied on dataset {table} (or it may not exist).",
            "bigquery.tables.create": f"Access Denied: Dataset {table}: Permission bigquery.tables.create denied on dataset {table} (or it may not exist).",
            "bigquery.tables.delete": f"Access Denied: Table {table}: Permission bigquery.tables.delete denied on table {table} (or it may not exist).",
            "bigquery.tables.update": f"Access Denied: Table {table}: Permission bigquery.tables.update denied on table {table} (or it may not exist).",
            "bigquery.tables.updateData": f"Access Denied: Table {table}: Permission bigquery.tables.updateData denied on table {table} (or it may not exist).",
            "bigquery.datasets.create": f"Access Denied: Project {project}: User does not have bigquery.datasets.create permission in project {project}.",
            "bigquery.datasets.get": f"Access Denied: Dataset {table}: Permission bigquery.datasets.get denied on dataset {table} (or it may not exist)."
            if names
            else f"Access Denied: Project {project}: Permission bigquery.datasets.get denied on project {project}.",
        }[permission])

    def allow_query(self, query, project):
        named = NAMED.findall(query)
        for beginning, permission in CHANGES.items():
            if query.startswith(beginning):
                owner, *names = named[0] if named else (project,)
                self.allow(permission, owner, names[:1] if permission == "bigquery.tables.create" else names)
        if not query.startswith(("CREATE", "ALTER")):
            for owner, *names in named:
                self.allow("bigquery.tables.getData", owner, names)

    def allow_load(self, load):
        if load:
            into = load["destinationTable"]
            self.allow("bigquery.tables.updateData", into["projectId"], [into["datasetId"], into["tableId"]])
