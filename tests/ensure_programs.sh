#!/bin/sh
# Programs for tests that Python packages can't bring everywhere: `ensure_programs.sh BIN WHAT...`,
# where BIN is the folder of the tests' Python and WHAT is `redis`, `nginx`, `bubblewrap` or `browser`.
# What is there is taken: from the Python packages first, then from the system. What is missing is installed
# from Debian's packages where this user may (root; SYSTEM_PACKAGES=no forbids it), a line is said
# before.
# Otherwise a line says what the tests are skipped for; where CI is set that is a failure.
set -eu
BIN=$1
shift
PATH=$(cd "$BIN" && pwd):$PATH

have() {
    for name in "$@"; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

may_install() {
    [ "${SYSTEM_PACKAGES:-yes}" != no ] && have apt-get && [ "$(id -u)" = 0 ]
}

# package, what for
install() {
    echo "About to install the Debian package $1 on this system, with apt-get, for the tests of $2" \
        "(SYSTEM_PACKAGES=no skips those tests instead) ..."
    # Tests start their own servers: the package's is not started now.
    { apt-get update -qq && SYSTEMD_OFFLINE=1 RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$1"; } >/dev/null 2>&1
}

# package, what for
lacking() {
    echo "There is no $1, and it can't be installed here: the tests of $2 are skipped." >&2
    [ -z "${CI:-}" ] || { echo "In CI that is a failure." >&2; exit 1; }
}

# nginx or browser: what the tests would find by themselves
found_by_tests() {
    "$BIN/python" -c 'import sys; sys.path.insert(0, "tests"); import needs
sys.exit(not getattr(needs, f"find_{sys.argv[1]}")())' "$1" 2>/dev/null
}

for what in "$@"; do
    case $what in
    redis)
        have redis-server valkey-server && continue
        { may_install && install redis-server "several machines"; } ||
            lacking "Redis server (redis-server)" "several machines"
        ;;
    nginx)
        # Where Debian puts it a plain user's shell does not look.
        { have nginx || found_by_tests nginx; } && continue
        { may_install && install nginx-light "the proxy"; } ||
            lacking "nginx (nginx-light)" "the proxy"
        ;;
    bubblewrap)
        have bwrap && continue
        { may_install && install bubblewrap "containers"; } ||
            lacking "bubblewrap (bwrap)" "containers"
        ;;
    browser)
        { have chromium chromium-browser google-chrome google-chrome-stable ||
            found_by_tests browser; } && continue
        if may_install; then
            install chromium "the campaign page" && continue
        elif [ "${SYSTEM_PACKAGES:-yes}" != no ]; then
            echo "About to download Playwright's Chromium to this user's cache, for the tests of" \
                "the campaign page (SYSTEM_PACKAGES=no skips those tests instead) ..."
            timeout 180 "$BIN/python" -m playwright install --only-shell chromium \
                >/dev/null 2>&1 && found_by_tests browser && continue
        fi
        lacking "browser (chromium)" "the campaign page"
        ;;
    esac
done
