#!/bin/sh
# A module in POSIX sh that counts ticks while it plays.
# It saves its count, so if it crashes and is started again, it goes on from there.
. "$(dirname "$0")/shmooze.sh"

title="Ticker"
description="Counts ticks while it plays."
parameters='{"ticks":{"type":"integer","minimum":0}}'
ticks=0

on_restore() { ticks=$state; }

work() {
    while sleep 1; do
        ticks=$((ticks + 1))
        set_parameters ticks "$ticks"
        save "$ticks"
    done
}

serve "$@"
