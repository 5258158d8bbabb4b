"""Runs syncs by the Airflow providers of Braze, Census and Hightouch, as PyPI has them.

    python3 clients/python/airflow/prove.py [TIDEGATE]

Makes two virtual environments in `.venv-airflow` (Airflow 2.10 for Braze's provider, 3.1 for the others:
about a gigabyte, three minutes), starts `tidegate serve` with a person and a token on a project of files
and the sandbox, and runs the operators without a scheduler. TIDEGATE is the program, by default
`target/debug/tidegate`.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
VENVS = ROOT / ".venv-airflow"
PACKAGES = {
    "2": ["apache-airflow==2.10.5", "apache-airflow-providers-http<6.0.1", "airflow-provider-braze==1.0.4"],
    "3": ["apache-airflow==3.1.8", "airflow-provider-census==2.1.0", "airflow-provider-hightouch==5.0.0"],
}
PROJECT = """connections:
  shop: { type: files, path: data }
  braze: { type: braze, endpoint: sandbox, api_key: key }
syncs:
  orders_to_braze:
    source: { connection: shop, path: orders.csv }
    primary_key: id
    destination: { connection: braze, object: event }
    mapping: { external_id: customer, name: { value: order_placed }, timestamp: at }
"""
ORDERS = "id,customer,at\n1,ann,2026-01-01T00:00:00Z\n2,ben,2026-01-02T00:00:00Z\n"


def python(version):
    """Returns the interpreter of an environment, which is made if it is not there."""
    interpreter = VENVS / version / "bin" / "python"
    done = VENVS / version / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", VENVS / version], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "-q", *PACKAGES[version]], check=True)
        done.touch()
    return interpreter


def run(version, program, home, *words):
    """Runs a program with the operators, and returns what it printed last."""
    environment = {**os.environ, "AIRFLOW_HOME": str(home / f"airflow{version}")}
    environment["PYTHONWARNINGS"] = "ignore"
    ended = subprocess.run(
        [python(version), HERE / program, *words], env=environment, capture_output=True, text=True
    )
    if ended.returncode != 0:
        sys.exit(f"{program} failed\n{ended.stdout}\n{ended.stderr}")
    print(f"ok   {program}: {ended.stdout.strip().splitlines()[-1]}")


def main():
    tidegate = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/tidegate").resolve()
    for version in PACKAGES:
        python(version)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "data").mkdir()
        (home / "tidegate.yaml").write_text(PROJECT)
        (home / "data/orders.csv").write_text(ORDERS)

        def command(*words, **options):
            return subprocess.run([tidegate, *words], cwd=home, check=True, **options)

        person = ["people", "add", "ada", "--role", "admin", "--password-stdin"]
        command(*person, input=b"correct horse battery", stdout=subprocess.DEVNULL)
        made = command("tokens", "add", "airflow", "--role", "editor", "--output", "json", stdout=subprocess.PIPE)
        token = json.loads(made.stdout)["token"]
        serve = [tidegate, "serve", "--listen", "127.0.0.1:0"]
        server = subprocess.Popen(serve, cwd=home, stderr=subprocess.PIPE, text=True)
        try:
            url = None
            while url is None:
                line = server.stderr.readline() or sys.exit("tidegate serve ended")
                url = re.search(r"http://127\.0\.0\.1:\d+", line)
            url = url.group()
            run("2", "braze.py", home, url, token, "orders_to_braze")
            run("3", "census_and_hightouch.py", home, url, token, "orders_to_braze")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
