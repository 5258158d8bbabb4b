"""Appends rows to a Delta table with deltalake, one commit each, beside other writers.

usage: append.py TABLE COMMITS

The rows have the ids other-0, other-1 … and the kind `other`. A commit is tried until it is in: the
library's own fifteen tries can all lose against a writer that commits without a pause.
"""

import datetime
import sys

import deltalake
import pyarrow


def main():
    table, commits = sys.argv[1], int(sys.argv[2])
    patient = deltalake.CommitProperties(max_commit_retries=10_000)
    for at in range(commits):
        row = {
            "event_id": [f"other-{at}"],
            "event_kind": ["other"],
            "event_date": pyarrow.array([datetime.date(2026, 3, 1)], pyarrow.date32()),
        }
        deltalake.write_deltalake(
            table, pyarrow.table(row), mode="append", schema_mode="merge", commit_properties=patient
        )
    print(commits)


if __name__ == "__main__":
    main()
