"""The text of `shmz --help`."""

from __future__ import annotations

DEFAULT_ENDPOINT = "http://localhost:8080/queue"

HELP = f"""\
usage: shmz [-e ENDPOINT] [--json] [--timeout S] [--token-file F] COMMAND [key=value ...]

Send a command to a shmooze service and show its answer.

a queue, or with -e pool a pool
  shmz queue                        what is queued, with all parameters
  shmz pool                         what is in the pool
  shmz bg                           the background
  shmz types                        types to add, with their arguments; "shmz types pool" those
                                    of one service
  shmz add countdown --help         all about a type: its arguments and commands
  shmz add countdown seconds=30     add a module of this type, with these arguments
  shmz run convert file=a.mp4       add a job, show what it prints and then its result; Ctrl-C
                                    removes it; the exit status is that of the job
  shmz wait UID                     wait until it has ended; "shmz wait batch=NAME" for a batch
  shmz add countdown --priority 2 seconds=30
                                    with terms: also --label, --at PLACE, --not-before TIME,
                                    --expires TIME, --after '["UID"]', --batch NAME, --key KEY,
                                    --window '{{"from": "08:00", "to": "12:00"}}'
  shmz set_bg clock                 set the background, with arguments in the same way
  shmz rm UID ...                   remove modules
  shmz mv UID ...                   move modules to the front, in this order; "shmz mv UID to=2" to
                                    a place, the first is 0; also before=UID and after=UID
  shmz pause                        let nothing new play; with suspend=true, suspend what plays;
                                    "shmz resume" undoes it
  shmz skip                         end what plays; in a pool "shmz skip uid=UID"
  shmz vote UID up                  vote for a module, or with "skip" against it
  shmz clear                        remove all that do not play
  shmz shuffle                      put those that do not play in a random order
  shmz repeat mode=all              play them again when they are done; also one, off
  shmz hold UID ...                 take modules out of turn; "shmz release UID ..." undoes it
  shmz tell UID add seconds=5       send a command to a module, with these arguments
  shmz tell UID --help              its commands; "shmz tell UID add --help": all about one
  shmz ask UID left                 show these parameters of a module
  shmz output UID                   show the last lines that it has printed; also --since TIME,
                                    --grep TEXT, --limit N
  shmz history                      what has ended, newest first; needs `state_path` in the settings
  shmz history pool text=tea        of another service; also limit, before, type, state, by
  shmz history count=args.title     how often each title has ended, most frequent first
  shmz item UID                     all about one module, running or ended
  shmz requeue UID ...              add ended ones again; "shmz requeue pool UID ..." in a pool
  shmz forget UID ...               remove ended ones from the history
  shmz schedule TYPE --cron "0 8 * * 1-5" [key=value ...]
                                    add a module at times, with these arguments; instead of --cron
                                    also --at TIME or --every SECONDS. Further options: --tz ZONE,
                                    --until TIME, --missed once, --overlap queue (or replace),
                                    --label TEXT, --priority N, --id ID
  shmz schedules                    the schedules, each with its next five times
  shmz unschedule ID                remove a schedule; what it has added stays
  UID is a uid, or the beginning of one (4 characters or more) that fits only one module.
  tell and ask are short for tell_module and ask_module; for the background there are
  tell_background and ask_background.

  shmz watch                        show the modules live, until Ctrl-C
  shmz watch pool                   those of another service, named as with -e

the settings
  shmz reload                       read them again: in the gateway, and in all services behind it;
                                    "shmz reload pool" in one service, "shmz reload wsgi" in the
                                    gateway alone

any service
  shmz -e vol set_vol --help        all about a command
  shmz -e vol set_vol vol=3         any command, its arguments as key=value
  echo '[{{"cmd": "queue"}}, {{"cmd": "bg"}}]' | shmz -
                                    send a packet, or a list of packets, unchanged

values
  A value is parsed as JSON if possible, and is text otherwise: seconds=30 is a number,
  on=true a boolean, name=hello is text, and so is name='"30"', with JSON quotes.
  If the type of a module describes its arguments, they are converted as described: name=007
  is text and seconds=007 a number; true, false, yes and no are booleans; tag=a tag=b is an
  array. A secret is read from a file with password=@FILE, and asked for with password=@-.
  Every command also accepts the arguments of the protocol: rm uids='["..."]'.

watch
  On a terminal it shows a live table. Otherwise, or if TERM is "dumb", it prints a line for
  each change: time, type, uid, what is new; long values are truncated. With --json it prints
  each event in full, as one line:
  {{"event": "snapshot" or "change", "id": ..., "data": ...}}. If the connection is lost, it
  reconnects as soon as it can; if the first attempt fails, or the server refuses, it ends.
  NO_COLOR turns colors off.

completion
  shmz completion bash              print a script that makes bash complete commands, types,
                                    arguments and uids (or zsh, or fish). For this shell:
                                    source <(shmz completion bash)

options
  -e ENDPOINT    a URL (http://host:8080/queue), or the name of a service (vol), which
                 replaces the last part of SHMZ_ENDPOINT: http://host:8080/vol.
                 Default: SHMZ_ENDPOINT, or {DEFAULT_ENDPOINT}; if that
                 ends in /queue, "shmz pool" asks /pool instead.
  --json         print JSON: the result of a command, or the answer packets to a list of
                 commands. Default if the output is not a terminal, except for watch and --help
  --timeout S    give up after S seconds without data from the server (default: 60; watch: 45,
                 minimum 20, since services may be silent for 15 seconds)
  --token-file F a file with the access token, if the server requires one
                 (default: the variable SHMOOZE_TOKEN)
  --version      print the version of shmz

exit status
  0 success, 1 refused by the service, or no such module, 2 wrong usage, 3 no server, or an
  invalid answer, 130 Ctrl-C (except for watch, which ends with 0). run and wait end with the
  exit status of the module if that has failed, and with 1 if it has none
"""
