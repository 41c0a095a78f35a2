#!/bin/bash
# kafka.sh SERVER_PROPERTIES: Apache Kafka in the foreground, formatted first when its data directory is empty.
# kafka.sh --fetch: only makes sure that the jars are there.
# The jars come through Maven into a cache, once. RINGMILL_KAFKA_LIBS: a folder that has them already.
# KAFKA_HEAP: heap options of the broker's JVM (default: those of Kafka's own start script).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
properties=$1
libs=${RINGMILL_KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringmill/apache-kafka-4.3.1}

need() {
  command -v "$1" >/dev/null || { echo "kafka.sh needs $1: apt-get install $2" >&2; exit 1; }
}

need java default-jre-headless
# What is there is complete for one list of jars.
complete=$libs/.complete-$(cksum < "$here/pom.xml" | cut -d' ' -f1)
if [ ! -e "$complete" ] && [ -z "${RINGMILL_KAFKA_LIBS:-}" ]; then
  need mvn maven
  mkdir -p "$libs"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$libs" >&2
  touch "$complete"
fi

[ "$properties" = --fetch ] && exit 0

data=$(sed -n 's/^log\.dirs=//p' "$properties")
if [ ! -e "$data/meta.properties" ]; then
  java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$here:$libs/*" \
    kafka.tools.StorageTool format -t cGVyZi1jb21wYXJpc29uMQ -c "$properties" >&2
fi
# Collector settings are those of Kafka's own start script.
exec java ${KAFKA_HEAP:--Xmx1g -Xms1g} -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
  -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -cp "$here:$libs/*" kafka.Kafka "$properties"
