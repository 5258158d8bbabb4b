"""Dagster: an op that runs a sync of Tidegate and waits for its end, in a job.

Copy it into your code location. Set TIDEGATE_URL, and TIDEGATE_TOKEN to a token of an editor
(`tidegate tokens add dagster --role editor`).
"""

import json
import os
import time
import urllib.error
import urllib.request

from dagster import Config, Failure, OpExecutionContext, job, op


class Sync(Config):
    """Which sync, and whether rejected rows fail the op."""

    sync: str
    fail_if_partial: bool = False


def call(method: str, path: str) -> tuple[dict, str | None]:
    """Returns what the API answers, and the address of the run if it continues."""
    url = os.environ.get("TIDEGATE_URL", "http://127.0.0.1:8080") + path
    headers = {"Authorization": f"Bearer {os.environ.get('TIDEGATE_TOKEN', '')}"}
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.loads(answer.read() or b"{}") or {}, answer.headers.get("Location")
    except urllib.error.HTTPError as refused:
        problem = json.loads(refused.read())
        raise Failure(f"{problem['detail']}. {problem.get('remedy', '')}") from refused


@op
def run_sync(context: OpExecutionContext, config: Sync) -> dict:
    """Runs a sync. Returns the run with its counts."""
    before, _ = call("GET", f"/api/v1/runs?sync={config.sync}&limit=1")
    known = [run["id"] for run in before["data"]]
    run, location = call("POST", f"/api/v1/syncs/{config.sync}/run?wait=50")
    while not run.get("ending"):
        time.sleep(2)
        run, _ = call("GET", location)
        if "data" in run:  # it has not begun: the newest run may be the one before
            run = next((run for run in run["data"][:1] if run["id"] not in known), {})
    context.log.info(f"{run['id']}: {run['ending']}, {json.dumps(run['counts'])}")
    context.add_output_metadata({"run": run["id"], **run["counts"]})
    if run["ending"] in ("failed", "interrupted") or (config.fail_if_partial and run["ending"] == "partial"):
        raise Failure(run["error"] or f"the run ended as {run['ending']}", metadata={"run": run["id"]})
    return run


@job
def tidegate_sync():
    """One sync; `ops: { run_sync: { config: { sync: orders_to_braze } } }` says which."""
    run_sync()
