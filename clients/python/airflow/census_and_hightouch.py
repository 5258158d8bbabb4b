"""Runs a sync by the operators and sensors of airflow-provider-census and airflow-provider-hightouch,
without a scheduler.

    census_and_hightouch.py URL TOKEN SYNC

Prints the ids of the two runs, as JSON.
"""

import asyncio
import json
import os
import sys

url, token, sync = sys.argv[1:]
for vendor in ("census", "hightouch"):
    os.environ[f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT"] = json.dumps(
        {"conn_type": "http", "host": f"{url}/compat/{vendor}", "password": token}
    )

from airflow_provider_census.hooks.census import CensusHook  # noqa: E402
from airflow_provider_census.operators.census import CensusOperator  # noqa: E402
from airflow_provider_census.sensors.census import CensusSensor  # noqa: E402
from airflow_provider_census.triggers.census import CensusTrigger  # noqa: E402
from airflow_provider_hightouch.operators.hightouch import HightouchTriggerSyncOperator  # noqa: E402
from airflow_provider_hightouch.sensors.hightouch import HightouchSyncRunSensor  # noqa: E402

reached, why = CensusHook().test_connection()
assert reached, why
census = CensusOperator(task_id="census", sync_id=sync).execute({})
CensusSensor(task_id="census_ends", sync_run_id=census, poke_interval=1, timeout=60).execute({})


async def event():
    """What the sensor waits for if it is deferrable."""
    async for event in CensusTrigger(sync_run_id=census, poll_interval=1).run():
        return event.payload


deferred = asyncio.run(event())
assert deferred["status"] == "completed", deferred

hightouch = HightouchTriggerSyncOperator(
    task_id="hightouch", sync_slug=sync, wait_seconds=1, timeout=60, error_on_warning=True
).execute({})
later = HightouchTriggerSyncOperator(task_id="later", sync_id=sync, synchronous=False).execute({})
HightouchSyncRunSensor(
    task_id="hightouch_ends", sync_id=sync, sync_run_id=later, poke_interval=1, timeout=60
).execute({})

try:
    CensusOperator(task_id="no", sync_id="no_such_sync").execute({})
except Exception as refused:
    assert "404" in str(refused) or "Not Found" in str(refused), refused
else:
    raise AssertionError("a sync that there is not ran")
print(json.dumps({"census": census, "hightouch": hightouch, "later": later}))
