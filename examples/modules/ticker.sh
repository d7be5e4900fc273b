#!/usr/bin/env bash
# A module in bash that counts ticks while it plays. No library, just two TCP streams.
# It saves its count, so if it crashes and is started again, it goes on from there.
#
# The queue adds three arguments: host, command port, update port. Commands arrive on the first
# stream, one JSON object per line, and each is answered with one line. Updates go to the second.
set -u
host=${1:?} command_port=${2:?} update_port=${3:?}
exec 3<>"/dev/tcp/$host/$command_port" 4<>"/dev/tcp/$host/$update_port"

ticks=0
playing=no
report() {
    ticks=$((ticks + 1))
    echo "{\"cmd\":\"set_parameters\",\"args\":{\"parameters\":{\"ticks\":$ticks}}}" >&4
    echo "{\"cmd\":\"save\",\"args\":{\"state\":$ticks}}" >&4
}

while true; do
    # Wait up to a second for a command. `read` returns a status above 128 after a timeout, and 1 if
    # the queue has hung up: then the module exits.
    read -r -t 1 line <&3
    status=$?
    if [ $status -gt 128 ]; then
        [ $playing = yes ] && report
        continue
    fi
    [ $status -eq 0 ] || exit 0
    case $line in
        '{"cmd":"restore",'*) ticks=${line//[!0-9]/} ;; # {"cmd":"restore","args":{"state":3}}
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
