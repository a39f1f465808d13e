#!/bin/sh
# The campaign page is tested in a real browser. Where there is none and Debian's packages can be
# installed, Chromium is; elsewhere it is said what is missing.
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing Chromium for the tests of the campaign page (once) ..."
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
    exit 0
fi
echo "The tests need Chromium: install the package 'chromium', or Google Chrome." >&2
exit 1
