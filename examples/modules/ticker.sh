#!/usr/bin/env bash
# A module in bash: it counts its ticks while it plays. No library, just two TCP streams.
#
# The queue adds three arguments: host, command port, update port. Commands come down the first
# stream, one JSON object a line, and each is answered by one line. Updates go up the second.
set -u
host=${1:?} command_port=${2:?} update_port=${3:?}
exec 3<>"/dev/tcp/$host/$command_port" 4<>"/dev/tcp/$host/$update_port"

ticks=0
playing=no
report() {
    ticks=$((ticks + 1))
    echo "{\"cmd\":\"set_parameters\",\"args\":{\"parameters\":{\"ticks\":$ticks}}}" >&4
}

while true; do
    # Wait for a command, but for a second at the most. `read` ends with a status above 128 when
    # its time is over, and with 1 when the queue has hung up: then it is time to go.
    read -r -t 1 line <&3
    status=$?
    if [ $status -gt 128 ]; then
        [ $playing = yes ] && report
        continue
    fi
    [ $status -eq 0 ] || exit 0
    case $line in
        *'"cmd":"init"'* | *'"cmd":"rm"'*) ;;
        *'"cmd":"play"'*) playing=yes ;;
        *'"cmd":"suspend"'*) playing=no ;;
        *)
            echo '{"success":false,"error":"the ticker does not know this command"}' >&3
            continue
            ;;
    esac
    echo '{"success":true}' >&3
done
