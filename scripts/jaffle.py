"""Writes one year of the jafgen café into a folder: the same year every time.

usage: jaffle.py FOLDER

jafgen has no option for a seed. Its chance comes from `random`, `numpy.random`,
Faker (which it seeds itself) and `uuid.uuid4`; with the first two seeded and the
last drawn from the first, two runs write the same bytes, so tests may name rows
and counts.
"""

import os
import pathlib
import random
import sys
import tempfile
import uuid

import numpy

SEED = 20180901
YEARS = 1


def main() -> None:
    folder = pathlib.Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)

    random.seed(SEED)
    numpy.random.seed(SEED)
    uuid.uuid4 = lambda: uuid.UUID(int=random.getrandbits(128), version=4)

    # Imported only now: the stores are made while the module is loaded.
    from jafgen.simulation import Simulation

    with tempfile.TemporaryDirectory(dir=folder) as work:
        os.chdir(work)
        simulation = Simulation(YEARS, "raw")
        simulation.run_simulation()
        simulation.save_results()
        for file in pathlib.Path(work, "jaffle-data").glob("raw_*.csv"):
            file.replace(folder / file.name.removeprefix("raw_"))
        os.chdir(folder)


if __name__ == "__main__":
    main()
