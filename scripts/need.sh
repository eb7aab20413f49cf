#!/usr/bin/env bash
# need.sh TOOL...: checks that each tool is there. A missing one is installed
# with apt-get when we are root on Debian; elsewhere the command to type is
# printed and the exit code is 1. Nothing is ever skipped.
set -euo pipefail

package() {
  case "$1" in
    go) echo golang-go ;;
    gcc) echo 'gcc libc6-dev' ;;
    java) echo default-jre-headless ;;
    javac) echo default-jdk-headless ;;
    mvn) echo maven ;;
    h2load) echo nghttp2-client ;;
    nghttpd) echo nghttp2-server ;;
    node) echo nodejs ;;
    python3) echo 'python3 python3-venv' ;;
    *) echo "$1" ;;
  esac
}

missing=()
for tool in "$@"; do
  command -v "$tool" >/dev/null 2>&1 || missing+=("$tool")
done
[ ${#missing[@]} -eq 0 ] && exit 0

for tool in "${missing[@]}"; do
  if [ "$tool" = go ]; then
    want=$(awk '$1 == "go" { print $2; exit }' "$(dirname "$0")/../go.mod")
    echo "need: go is missing: install Go $want or newer (https://go.dev/dl/) and put it on the PATH" >&2
    exit 1
  fi
done

packages=()
for tool in "${missing[@]}"; do
  for p in $(package "$tool"); do packages+=("$p"); done
done

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "need: missing: ${missing[*]}. Install them, on Debian or Ubuntu with:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
  exit 1
fi

echo "==> installing ${packages[*]} (for: ${missing[*]})"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null
for tool in "${missing[@]}"; do
  command -v "$tool" >/dev/null 2>&1 || { echo "need: $tool is still missing after installing ${packages[*]}" >&2; exit 1; }
done
