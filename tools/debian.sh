#!/bin/sh
# Install Debian packages that tests need, where the programs are missing and this is root's to do.
# Usage: debian.sh FILE=PACKAGE... (FILE may be a pattern)
set -u
missing=
for pair; do
  # The pattern is to be expanded.
  # shellcheck disable=SC2086
  ls ${pair%%=*} >/dev/null 2>&1 || missing="$missing ${pair#*=}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing:$missing; install them with your system's package manager, or the tests that need them are skipped"
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# No service and no database is to be started, where an init would: the tests start what they need.
export RUNLEVEL=1
# The words are to be split.
# shellcheck disable=SC2086
apt-get -q update && apt-get -q install -y --no-install-recommends $missing && exit 0
echo "could not be installed:$missing; the tests that need them are skipped"
exit 1
