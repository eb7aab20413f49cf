#!/usr/bin/env bash
# fuzz.sh: runs every fuzz target of the module for FUZZTIME (3s) each. Found
# inputs land in the package's testdata/fuzz; commit them with the mending.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-3s}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

found=0
for file in $(grep -rlE '^func Fuzz[A-Za-z0-9_]*\(' --include='*_test.go' --exclude-dir=build --exclude-dir=.git . | sort); do
  dir=$(dirname "$file")
  for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
    found=$((found + 1))
    echo "==> fuzz $dir $target ($time)"
    tries=3
    until go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" >"$log" 2>&1; do
      # The engine may call the end of its time a failure (golang/go#75804); a
      # finding always says where its input was written.
      tries=$((tries - 1))
      if [ "$tries" -eq 0 ] || ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input written' "$log"; then
        cat "$log"
        exit 1
      fi
    done
  done
done
[ "$found" -gt 0 ] || { echo 'fuzz: no fuzz target found' >&2; exit 1; }
