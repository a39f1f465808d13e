#!/bin/sh
# Runs on several machines are tested with a real Redis. Where there is none and Debian's packages
# can be installed, it is; elsewhere it is said what is missing.
set -eu
command -v redis-server >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing Redis for the tests of workers (once) ..."
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server \
        >/dev/null
    exit 0
fi
echo "The tests need Redis: install the package 'redis-server', or Valkey's as redis-server." >&2
exit 1
