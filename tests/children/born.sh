# What a child is born with: the signals that it ignores or blocks; Python has its own mind about those.
# arguments: a Python and what it has to run
while read -r key value; do # by the shell itself, which blocks some while it waits for others
    case $key in
        SigIgn:) IGNORED=$value ;;
        SigBlk:) BLOCKED=$value ;;
    esac
done </proc/$$/status
IGNORED=$IGNORED BLOCKED=$BLOCKED exec "$@"
