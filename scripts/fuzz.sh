#!/usr/bin/env bash
# fuzz.sh: runs every fuzz target of the module for FUZZTIME (3s) each, as many
# at once as there are cores, with one worker each. Found inputs land in the
# package's testdata/fuzz; commit them with the mending.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZTIME=${FUZZTIME:-3s}
BINS=$(mktemp -d)
CACHE=$(go env GOCACHE)/fuzz
export BINS CACHE
trap 'rm -rf "$BINS"' EXIT

# one TARGET DIR BINARY fuzzes one target and prints one line, or everything when
# it failed. The engine may call the end of its time a failure (golang/go#75804);
# a finding always says where its input was written. Minimizing is held short: by
# default it may take a minute, which is all the time that there is.
one() {
  local target=$1 dir=$2 tries=3 out
  until out=$(cd "$dir" && "$BINS/$3" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$FUZZTIME" \
    -test.parallel=1 -test.fuzzminimizetime=100x -test.fuzzcachedir="$CACHE/carillon/${dir#./}" 2>&1); do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ] || [[ $out != *'context deadline exceeded'* ]] || [[ $out == *'Failing input written'* ]]; then
      printf '%s\nFAIL\t%s %s\n' "$out" "$dir" "$target"
      return 255 # xargs starts no more
    fi
  done
  out=$(grep -oE 'execs: [0-9]+' <<<"$out" | tail -1 || true)
  printf 'ok  \t%s %s\t%s\n' "$dir" "$target" "${out:-its corpus only: FUZZTIME is too short here}"
}
export -f one

found=$(grep -roE '^func Fuzz[A-Za-z0-9_]*\(' --include='*_test.go' --exclude-dir=build --exclude-dir=.git . |
  sed -E 's#^(.*)/[^/]*:func (.*)\($#\2 \1#' | sort -k 2)
[ -n "$found" ] || { echo 'fuzz: no fuzz target found' >&2; exit 1; }
at_once=$(nproc 2>/dev/null || echo 2)
echo "==> fuzz: $(wc -l <<<"$found") targets, $FUZZTIME each, $at_once at once"

n=0 built=
while read -r target dir; do
  if [ "$dir" != "$built" ]; then
    n=$((n + 1)) built=$dir
    go test -vet=off -c -fuzz . -o "$BINS/$n" "$dir" </dev/null
  fi
  echo "$target $dir $n"
done <<<"$found" >"$BINS/jobs"
xargs -P "$at_once" -L 1 bash -c 'one "$@"' one <"$BINS/jobs"
