"""Runs a sync by the operator of airflow-provider-braze, without a scheduler.

    braze.py URL TOKEN SYNC

Prints the job that the operator waited for, as JSON.
"""

import json
import os
import sys

url, token, sync = sys.argv[1:]
os.environ["AIRFLOW_CONN_BRAZE_DEFAULT"] = json.dumps(
    {"conn_type": "http", "host": url, "password": token}
)

from airflow.exceptions import AirflowException  # noqa: E402
from braze_provider.operators.braze_cdi import BrazeRunCDIJobOperator  # noqa: E402

operator = BrazeRunCDIJobOperator(task_id="run", integration_id=sync, poll_interval=1, timeout=60)
job = operator.execute({})
assert job["job_status"] == "success", job

try:
    BrazeRunCDIJobOperator(task_id="no", integration_id="no_such_sync").execute({})
except Exception as refused:
    assert "404" in str(refused), refused
else:
    raise AssertionError("a sync that there is not ran")
print(json.dumps(job))
