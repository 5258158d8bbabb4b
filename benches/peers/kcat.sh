#!/usr/bin/env bash
# kcat 1.7.1 of Debian: reads the topic and writes every message to stdout. The librdkafka that Debian
# gives it cannot read what the broker of the tests says of itself; that of `confluent-kafka` can.
set -euo pipefail
library=$(python3 -c '
import glob, os, confluent_kafka
print(glob.glob(os.path.dirname(confluent_kafka.__file__) + ".libs/librdkafka-*.so.1")[0])')
ln -s "$library" librdkafka.so.1
export LD_LIBRARY_PATH=$PWD
exec kcat -C -q -b "$BENCH_BROKERS" -t "$BENCH_TOPIC" -o beginning -c "$BENCH_EVENTS"
