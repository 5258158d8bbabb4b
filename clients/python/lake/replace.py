"""Replaces a Delta table by one that no longer fits, or takes that back, with deltalake.

usage: replace.py TABLE           a new table of one row, whose column event_kind holds numbers
       replace.py TABLE VERSION   the table as it was at that version

Prints the version that the table had before.
"""

import datetime
import sys

import deltalake
import pyarrow


def main():
    table = deltalake.DeltaTable(sys.argv[1])
    print(table.version())
    if len(sys.argv) > 2:
        table.restore(int(sys.argv[2]))
        return
    day = pyarrow.array([datetime.date(2026, 3, 1)], pyarrow.date32())
    row = pyarrow.table({"event_id": ["other-0"], "event_kind": [7], "event_date": day})
    deltalake.write_deltalake(sys.argv[1], row, mode="overwrite", schema_mode="overwrite")


if __name__ == "__main__":
    main()
