#!/usr/bin/env bash
# acceptance.sh: the tests that start real processes. They find the binary in
# bin/ and keep what they fetch (Kafka's jars, npm packages) in CARILLON_BUILD.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARILLON_BUILD=${CARILLON_BUILD:-$PWD/build}
export CARILLON_BIN=${CARILLON_BIN:-$PWD/bin/carillon}
mkdir -p "$CARILLON_BUILD"
if ! grep -qsE '^func Test' acceptance/*_test.go; then
  echo 'acceptance: no tests in acceptance/: a run that proves nothing is no pass' >&2
  exit 1
fi
echo "==> acceptance (caches in build/)"
# -v: what was measured, seeds and duplicates belong to the result. A test that
# skips itself proves nothing: that is no pass either.
go test -count=1 -v -timeout "${ACCEPTANCE_TIMEOUT:-15m}" -tags=acceptance ${RUN:+-run "$RUN"} ./acceptance/... |
  awk '/^=== / { next } { print; fflush() } /--- SKIP/ { skipped = 1 } END { exit skipped }'
