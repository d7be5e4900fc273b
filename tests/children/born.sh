# What a child is born with: the signals that it ignores, since Python has its own mind about those.
# arguments: a Python and what it has to run
IGNORED=$(sed -n 's/^SigIgn:\s*//p' /proc/$$/status) exec "$@"
