#!/usr/bin/env bash
# Run a whole shmooze application in the foreground, for debugging: gateway, queue and pool under
# supervisord, with all output on this terminal. Ctrl-C ends everything, and so does closing the
# terminal.
#
#     scripts/run_shmooze.sh [SETTINGS.json [SUPERVISORD.conf]]
#
# The defaults are examples/settings.json and the supervisord.conf of this checkout. SUPERVISORD.conf
# alone determines which programs run. With SETTINGS.json only, these are still the gateway and the
# example queue and pool, on the ports of that file; a program without a port there, or with
# another machine's, is left out, and module types in the file are ignored.
set -euo pipefail
settings=$(realpath -m "${1:-$(dirname "$0")/../examples/settings.json}")
conf=$(realpath -m "${2:-$(dirname "$0")/../supervisord.conf}")
cd "$(dirname "$0")/.."
scripts/venv supervisor,docs
export PATH="$PWD/.venv/bin:$PATH" SHMOOZE_SETTINGS=$settings

# Check settings, tokens and ports before anything starts.
found=$(python - <<'PYTHON'
import socket, sys
from shmooze.errors import SettingsError
from shmooze.access.gate import token_file
from shmooze.runtime import declared
from shmooze.runtime.listeners import own_address

try:
    source = declared.current()
    port = source.port("wsgi")
    token_file(source)
except SettingsError as bad:
    sys.exit(f"shmooze: {bad}")
here = []
for name in source.get("ports"):
    host, each = source.address(name)
    address = "127.0.0.1" if host is None else own_address(host)
    if address is None:
        continue  # it runs on another machine
    here.append(name)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, each))
        except OSError as bad:
            sys.exit(f"shmooze: port {each} (`ports.{name}` of {source.source}): {bad.strerror}")
print(f"http://localhost:{port}{source.get('wsgi_prefix')}", *here)
PYTHON
) || exit 2
read -r url services <<<"$found"

echo "shmooze: $url  (settings: $settings; Ctrl-C ends it)"

# Leave out examples that have no port.
left_out=()
if [ $# -lt 2 ]; then
    for program in queue pool; do
        [[ " $services " == *" $program "* ]] || left_out+=("$program")
    done
fi
[ ${#left_out[@]} = 0 ] || echo "shmooze: not started, since not in \`ports\`, or on another machine: ${left_out[*]}"

# Use a copy of the configuration that sends all output to the screen instead of log files.
# `supervisorctl reread` reads this copy, too.
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT
python - "$conf" "${left_out[@]}" >"$shown" <<'PYTHON' || exit 2
import os, re, sys

conf, *left_out = sys.argv[1:]
here = os.path.dirname(conf)
try:
    text = open(conf).read().replace("%(here)s", here.replace("%", "%%"))
except (OSError, UnicodeDecodeError) as bad:
    sys.exit(f"shmooze: {conf}: {getattr(bad, 'strerror', None) or 'is not UTF-8'}")
text = re.sub(r"(?m)^(stdout_)?logfile_maxbytes *=.*\n", "", text)
for key, target in (("stdout_logfile", "/dev/stdout"), ("logfile", "/dev/null")):
    text = re.sub(rf"(?m)^{key} *=(?! *NONE\b).*", f"{key}={target}\n{key}_maxbytes=0", text)
for section in re.split(r"(?m)^(?=\[)", text):
    if section.startswith("[include]"):  # relative names refer to the original's folder
        section = re.sub(
            r"(?m)^(files *[=:])(.*)$",
            lambda m: " ".join([m[1], *(os.path.join(here, each) for each in m[2].split())]),
            section,
        )
    if section.partition("]")[0].removeprefix("[program:") not in left_out:
        print(section)
PYTHON

# supervisord does not expect that a terminal is closed (it takes the hangup as a request to restart
# everything) or that writing to it fails.
exec {screen}> >(trap '' INT TERM HUP; cat 2>/dev/null || cat >/dev/null)
pump=$! supervisord='' over=''
trap 'over=yes; kill -TERM $supervisord 2>/dev/null' INT TERM HUP
supervisord -n -c "$shown" >&$screen 2>&1 {screen}>&- &
supervisord=$!
exec {screen}>&-
[ -z "$over" ] || kill -TERM $supervisord 2>/dev/null || true
status=0
while kill -0 $supervisord 2>/dev/null; do # each signal ends one wait
    wait $supervisord && status=0 || status=$?
done
wait $pump || true
exit $status
