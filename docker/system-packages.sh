#!/bin/sh
# Installs what pip can't: Python's venv module where the distribution splits it off, and Chromium for the crawl.
# Does nothing where both are there; says what to install where it may not.
set -eu
python=${1:-python3}

if ! command -v "$python" >/dev/null 2>&1 || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "csmv needs Python 3.11 or newer as '$python'; set PYTHON=/path/to/python3.11 or install one." >&2
    exit 1
fi

missing=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="python3-venv"
if ! command -v chromium >/dev/null 2>&1 && ! command -v chromium-browser >/dev/null 2>&1 \
    && ! command -v google-chrome >/dev/null 2>&1 && [ "${CSMV_SKIP_BROWSER:-0}" != 1 ]; then
    missing="$missing chromium"
fi
[ -n "$missing" ] || exit 0

run=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        run="sudo"
    else
        echo "Please install, as root: apt-get install$missing (CSMV_SKIP_BROWSER=1 leaves the browser out)." >&2
        case $missing in *venv*) exit 1 ;; *) exit 0 ;; esac
    fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Please install with this system's package manager:$missing." >&2
    case $missing in *venv*) exit 1 ;; *) exit 0 ;; esac
fi
echo "Installing$missing ..."
$run apt-get update -qq
# shellcheck disable=SC2086  # a list of packages, meant to be split
DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
