"""Prefect: a task that runs a sync of Tidegate and waits for its end, in a flow.

Copy it into your project. Set TIDEGATE_URL, and TIDEGATE_TOKEN to a token of an editor
(`tidegate tokens add prefect --role editor`).
"""

import json
import os
import time
import urllib.error
import urllib.request

from prefect import flow, get_run_logger, task


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
        raise RuntimeError(f"{problem['detail']}. {problem.get('remedy', '')}") from refused


@task(name="tidegate-sync", task_run_name="{sync}")
def run_sync(sync: str, fail_if_partial: bool = False) -> dict:
    """Runs a sync. Returns the run with its counts."""
    before, _ = call("GET", f"/api/v1/runs?sync={sync}&limit=1")
    known = [run["id"] for run in before["data"]]
    run, location = call("POST", f"/api/v1/syncs/{sync}/run?wait=50")
    while not run.get("ending"):
        time.sleep(2)
        run, _ = call("GET", location)
        if "data" in run:  # it has not begun: the newest run may be the one before
            run = next((run for run in run["data"][:1] if run["id"] not in known), {})
    get_run_logger().info("%s: %s, %s", run["id"], run["ending"], json.dumps(run["counts"]))
    if run["ending"] in ("failed", "interrupted") or (fail_if_partial and run["ending"] == "partial"):
        raise RuntimeError(run["error"] or f"the run ended as {run['ending']}")
    return run


@flow(name="tidegate")
def tidegate_sync(sync: str) -> dict:
    """One sync."""
    return run_sync(sync)
