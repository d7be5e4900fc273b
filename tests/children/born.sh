# Records which signals a child ignores and blocks when it is started, since Python changes those.
# Arguments: a Python and what it runs.
while read -r key value; do # in the shell itself, which blocks some while it waits for others
    case $key in
        SigIgn:) IGNORED=$value ;;
        SigBlk:) BLOCKED=$value ;;
    esac
done </proc/$$/status
IGNORED=$IGNORED BLOCKED=$BLOCKED exec "$@"
