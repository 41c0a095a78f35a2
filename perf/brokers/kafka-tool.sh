#!/bin/bash
# kafka-tool.sh CLASS ARGS...: a main class of Apache Kafka's tools, with the jars that kafka.sh --fetch made sure of.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
libs=${RINGMILL_KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringmill/apache-kafka-4.3.1}
exec java -Xmx512m -XX:+UseG1GC -Djava.awt.headless=true -cp "$here:$libs/*" "$@"
