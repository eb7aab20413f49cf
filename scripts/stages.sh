#!/usr/bin/env bash
# stages.sh TARGET...: makes the targets in turn and ends with a table of what
# each took: the wall's time, and the CPU's of all its processes. The first one
# that fails ends it; the table then shows how far it came.
set -uo pipefail
cd "$(dirname "$0")/.."

rows=()
failed=
begun=$SECONDS
for target in "$@"; do
  TIMEFORMAT='%0R %0U %0S'
  { took=$( { time "${MAKE:-make}" --no-print-directory "$target" 1>&3 2>&4; } 2>&1 ); } 3>&1 4>&2
  status=$?
  read -r wall user sys <<<"$took"
  result=ok
  [ "$status" -eq 0 ] || { result=FAILED; failed=$target; }
  rows+=("$(printf '    %-12s %5d s %5d s  %s' "$target" "$wall" "$((user + sys))" "$result")")
  [ -z "$failed" ] || break
done

echo
printf '    %-12s %7s %7s  (%s cores)\n' stage wall CPU "$(nproc 2>/dev/null || echo ?)"
printf '%s\n' "${rows[@]}"
printf '    %-12s %5d s\n' all "$((SECONDS - begun))"
if [ -n "$failed" ]; then
  echo "==> make $failed failed" >&2
  exit 1
fi
echo '==> all checks passed'
