#!/usr/bin/env bash
# Run a whole shmooze application in the foreground, for debugging: gateway, queue and pool under
# supervisord, everything they print on this terminal. Ctrl-C ends them all.
#
#     scripts/run_shmooze.sh [SETTINGS.json]      (default: examples/settings.json)
set -euo pipefail
settings=$(realpath -m "${1:-$(dirname "$0")/../examples/settings.json}")
cd "$(dirname "$0")/.."
scripts/venv supervisor
export PATH="$PWD/.venv/bin:$PATH" SHMOOZE_SETTINGS=$settings

# Settings are checked and ports are tried before anything starts.
url=$(python - <<'PYTHON'
import socket, sys
from shmooze import settings
from shmooze.errors import SettingsError

try:
    source = settings.current()
    port = source.port("wsgi")
    for name in ("queue", "pool"):
        source.port(name)
except SettingsError as bad:
    sys.exit(f"shmooze: {bad}")
for name, each in source.get("ports").items():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", each))
        except OSError as bad:
            sys.exit(f"shmooze: port {each} (`ports.{name}` of {source.source}): {bad.strerror}")
print(f"http://localhost:{port}{source.get('wsgi_prefix')}")
PYTHON
) || exit 2

echo "shmooze: $url  (settings: $settings; Ctrl-C ends it)"
exec supervisord -n -c supervisord.conf
