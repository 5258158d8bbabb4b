"""Answers of the emulator, asked for once: the same question about the same data has the same answer.

A statement of the emulator takes a tenth of a second of Python, and the tests ask many of them again and again.
What changes a dataset forgets what is known of it.
"""

import json
import re
import threading

DATASET = re.compile(r"\bd_[0-9a-f]{16,32}\b")


def is_read(query):
    """Whether a statement reads only, and may be answered from what is known."""
    return re.match(r"\s*(SELECT|WITH)\b", query or "", re.I) is not None


class Results:
    def __init__(self, ask):
        self.ask, self.lock = ask, threading.Lock()
        self.answers, self.jobs, self.pages = {}, {}, {}

    def forget(self, text):
        """Something of the datasets that are named was changed; of any if none is named."""
        named = set(DATASET.findall(text))
        with self.lock:
            for known in (self.answers, self.jobs):
                for key in [key for key in known if not named or named & set(DATASET.findall(key))]:
                    del known[key]

    def answer(self, method, path, query, raw, headers):
        """An answer that has no job: the entry of a table, a dry run."""
        key = f"{method} {path} {sorted(query.items())} {raw}"
        if key not in self.answers:
            found = self.ask(method, path, query, raw, headers)
            if found[0] != 200:
                return found
            self.answers[key] = found
        return self.answers[key]

    def submitted(self, path, query, body, headers):
        """Submits a job, or another one of the same statement: the answer, and the job that has the result."""
        configuration = dict(body["configuration"]["query"])
        configuration.pop("maximumBytesBilled", None)
        key, name = json.dumps(configuration, sort_keys=True), body["jobReference"].get("jobId")
        known = self.jobs.get(key)
        if known is None:
            status, its_headers, answered = self.ask("POST", path, query, json.dumps(body).encode(), headers)
            if status != 200:
                return status, its_headers, answered, name
            known = self.jobs[key] = (json.loads(answered)["jobReference"]["jobId"], its_headers, answered)
        source, its_headers, answered = known
        return 200, its_headers, answered.replace(source.encode(), (name or source).encode()), source

    def page(self, path, source, name, query, start, rows):
        """A page of a job's result: its status and its body."""
        whole = {key: value for key, value in query.items() if key not in ("maxResults", "pageToken", "timeoutMs", "fields")}
        key = f"{source} {sorted(whole.items())}"
        if key not in self.pages:
            status, _, body = self.ask("GET", path.replace(name, source), whole | {"maxResults": 1_000_000}, b"", {})
            said = json.loads(body)
            if status != 200 or not said["jobComplete"]:
                return status, said
            self.pages[key] = said
        said = dict(self.pages[key])
        everything = said.get("rows") or []
        said["rows"] = everything[start : start + rows]
        said["jobReference"] = dict(said["jobReference"]) | {"jobId": name}
        if start + rows < len(everything):
            said["pageToken"] = f"after.{start + rows}"
        else:
            said.pop("pageToken", None)
        if not said["rows"]:
            del said["rows"]
        return 200, said
