"""The checks: what each expects of a module, and what its author can do about a failure."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """A requirement. `{…}` in its texts are keys of Options."""

    expects: str
    advice: str
    #: Why it is skipped if nothing else explains that.
    not_reached: str = "the check was not reached"


_COMMANDS = "Read the command stream line by line, and answer each line with one line."

CHECKS = {
    "connects": Check(
        "connects to the command port and the update port within {connect_timeout:g} s",
        "The last three arguments are HOST COMMAND_PORT UPDATE_PORT: connect by TCP to both "
        "ports before anything slow. A slow start needs a larger `connect_timeout`.",
    ),
    "connect-order": Check(
        "connects to the command port first, and to the update port when that is done",
        "Wait until the command stream is connected before you connect the update stream.",
    ),
    "connects-once": Check(
        "connects once to each port",
        "Keep both connections for the whole life of the program. A lost connection is the end.",
    ),
    "waits-for-init": Check(
        "does nothing before `init`: no update, no byte on the command stream, no exit",
        "Connect, then wait for `init`. With standby processes it may come minutes later.",
    ),
    "init": Check(
        "accepts `init`",
        "The arguments are those of --args. If they are not what the module needs, pass others.",
    ),
    "play": Check(
        "accepts `play`", "Start your work in a thread or process of its own, and answer at once."
    ),
    "suspend": Check("accepts `suspend`", "Stop first, then answer: the next module plays then."),
    "resume": Check("accepts `play` again after `suspend`", "Go on where `suspend` stopped."),
    "twice": Check(
        "accepts `play` while playing, and `suspend` while suspended",
        "Do nothing, and answer as before. Services do not send a command twice on purpose.",
    ),
    "no-failure": Check(
        "does not report `fail`",
        "The module reports that it cannot continue: pass --args with which it can, or provide "
        "what it lacks.",
    ),
    "one-answer": Check(
        "answers each command with exactly one line, and sends nothing else on that stream",
        "Write to the command stream in one place only: where a command has been carried out.",
    ),
    "packets": Check(
        'answers with packets: {{"success": true, "result": …}} or '
        '{{"success": false, "error": "one line"}}, a line of JSON each',
        "Let a JSON library write the line, end it with \\n, and flush.",
    ),
    "unknown-command": Check(
        "answers an unknown command with a failure, and goes on",
        "The last branch of your commands is a failure packet that names the command. Clients can "
        "send any `do_` command.",
    ),
    "one-write": Check("takes several commands that arrive together", _COMMANDS),
    "split-command": Check("takes a command that arrives in pieces", _COMMANDS),
    "large-command": Check(
        "takes a large command",
        "A line has up to 1 MiB: use a reader without a limit of its own.",
    ),
    "answers-in-order": Check(
        "carries out commands that arrive together one after the other, and answers in that order",
        _COMMANDS,
    ),
    "updates": Check(
        "sends updates that a service accepts, and copes with the answers to them",
        'An update is a line such as {{"cmd": "set_parameters", "args": {{"parameters": {{…}}}}}}; '
        "docs/reference/protocol.md has all of them. Its answer may be read or ignored.",
    ),
    "restore": Check(
        "accepts `restore` before `init` with the state that it has saved",
        "A module that sends `save` must know the command `restore`; else it cannot be restarted.",
    ),
    "unknown-argument": Check(
        "refuses an unknown argument of `init` in words for users",
        "Compare the names with those that you know, and answer with a failure such as: "
        "unknown argument `x`; known: `seconds`.",
    ),
    "missing-argument": Check(
        "refuses `init` without a required argument in words for users",
        "Check that each required argument is there, and answer with a failure such as: "
        "argument `seconds` is missing.",
        "no argument is known to be required",
    ),
    "wrong-type": Check(
        "refuses an argument of another type in words for users",
        "Check the types of arguments before you use them, and answer with a failure such as: "
        "argument `seconds`: expected `int`, got `object`.",
        "no argument is known: pass some with --args",
    ),
    "rm": Check(
        "answers `rm` and ends, within {natural_death_timeout:g} s",
        "Answer, clean up and exit. If cleaning up takes longer, the type needs a larger "
        "`natural_death_timeout`.",
    ),
    "rm-before-play": Check(
        "ends after `rm` if it has never played, even while another command is under way",
        "Do not rely on anything that only `play` sets up. `rm` may arrive together with the "
        "command before it.",
    ),
    "leaves": Check(
        "ends within {natural_death_timeout:g} s after it has said that it leaves",
        "After the update `rm` the service hangs up: exit when you read the end of the command "
        "stream.",
        "it did not leave by itself",
    ),
    "exit-status": Check(
        "exits with status 0 when all went well",
        "Exit with 0 after `rm` and when you are done: anything else is shown as a failure, and "
        "may be restarted.",
    ),
    "nothing-left": Check(
        "leaves no process behind",
        "End what you have started before you exit. The service ends it too, but only by SIGTERM.",
    ),
    "hang-up-before-init": Check(
        "ends when the parent hangs up before it has accepted `init`",
        "When a read of the command stream returns end of file, exit.",
    ),
    "hang-up-playing": Check(
        "ends when the parent hangs up while it plays",
        "When a read of the command stream returns end of file, exit, whatever else is running.",
    ),
    "hang-up-suspended": Check(
        "ends when the parent dies while it is suspended",
        "When a read of the command stream returns end of file, exit, however you are waiting.",
    ),
    "description": Check(
        "describes itself correctly: `--describe`, or the description in the settings",
        "Print one JSON object as in docs/reference/descriptions.md, nothing else, and exit"
        " with 0.",
    ),
    "described-args": Check(
        "describes the args that this check uses for `init`",
        "Correct the part `args` of the description, or pass other --args.",
    ),
    "described-commands": Check(
        "knows each command of its description",
        "Correct the part `commands`: names as clients send them, without `do_`.",
        "the description has no commands",
    ),
    "described-parameters": Check(
        "sets parameters that fit its description",
        "Correct the part `parameters` of the description, or the values that are sent.",
    ),
}

#: Checks that are not made of a module that is spoken to over standard input and output.
CONNECTING = ("connects", "connect-order", "connects-once")
#: The check that fails when the others took too long.
TIME_LIMIT = "time-limit"
