# The child's side of a module, for POSIX sh (dash, busybox, bash). One file; copy it.
#
#     . "$(dirname "$0")/shmooze.sh"
#
#     args_init='start:int=0 every:float'              # NAME:TYPE, and =DEFAULT if it may be left out
#     on_init() { ticks=$start; }                      # arguments are variables
#     work() { while sleep "$every"; do …; done; }     # runs while the module plays
#     args_do_add='ticks:int'
#     do_add() { [ "$ticks" -gt 0 ] || { refuse "ticks must be above 0"; return; }; result=1; }
#
#     serve "$@"
#
# `on_init`, `on_play`, `on_suspend`, `on_rm` and `on_restore` are called for these commands, `do_…`
# for a client's `tell_module`; all of them may be left out. They may set `result` to JSON, or
# refuse. `on_restore` finds in $state, as JSON, what was saved.
#
# `work` runs in the background. It is stopped while the module is suspended, and ended with it. When
# it returns, the module leaves; if its status is not 0, the module has failed. It is a process of
# its own: it has a copy of the variables from before the first `play`.
#
# To tell the service something, from anywhere; values are JSON, and `json` makes a string of text:
#
#     set_parameters left 3 title "$(json "$title")"     unset_parameters left     save "$ticks"
#     leave                                              fail "there is no sound card"
#     give_result '{"pages":3}'
#
# Types are int, float, str, bool, and json for the others. Wrong arguments are refused. `--describe`
# prints `title`, `description`, `label`, the arguments, `help_do_…` for commands, and `parameters`,
# which is JSON. Names of your own must not begin with `_`.
#
# sh cannot open TCP connections: bash, perl or python3 does that, and executes sh again with the
# streams as file descriptors 3 and 4. Arguments are read by awk. Plain Debian has bash, perl and awk.
# Without host and ports, as with the adapter `stdio`, the streams are standard input and output, and
# what is printed goes to standard error.

serve() { # answer commands until the service hangs up
    if [ "${_last-}" = --describe ]; then
        describe
        exit
    elif [ -z "$_connected" ]; then
        echo "${0##*/}: this is a shmooze module; a queue or pool starts it and ends its arguments" \
            "with HOST COMMAND_PORT UPDATE_PORT" >&2
        exit 2
    fi
    _worker='' _is_told=''
    while IFS= read -r _line <&3; do
        _error='' result=null
        _answer
        if [ -n "$_error" ]; then
            printf '{"success":false,"error":%s}\n' "$(json "$_error")" >&5
        else
            printf '{"success":true,"result":%s}\n' "$result" >&5
        fi
    done
    _end_work
    exit 0
}

_answer() { # carry out the command in $_line, which a service writes without spaces, `cmd` first
    _cmd=${_line#'{"cmd":"'} _args='{}' _prefix=''
    _cmd=${_cmd%%\"*} _function=on_$_cmd
    case $_line in *'"args":'*) _args=${_line#*'"args":'} _args=${_args%\}} ;; esac
    case $_cmd in
        *[!A-Za-z0-9_]*) _function='' ;;
        init | play | suspend | rm) ;;
        do_*) _function=$_cmd _prefix="${_cmd#do_}: " ;;
        restore) state=${_args#'{"state":'} state=${state%\}} ;;
        *) _function='' ;;
    esac
    case $_function in
        '') _has=no ;;
        *) if command -v "$_function" >/dev/null; then _has=yes; else _has=no; fi ;;
    esac
    case $_has$_cmd in
        noinit | noplay | nosuspend | norm) ;;
        no*)
            refuse "unknown command \`${_cmd#do_}\`; known: $(_commands)" || return 0 ;;
    esac
    case $_cmd in
        init | do_*)
            eval "_declared=\${args_$_cmd-}"
            _assignments=$(printf '%s' "$_args" | _read_arguments "$_declared") ||
                _assignments="_error='internal error; see the output of the module'"
            eval "$_assignments" # sets the arguments, or _error
            if [ -n "$_error" ]; then
                _error=$_prefix$_error
                return
            fi ;;
        suspend) [ -z "$_worker" ] || kill -STOP "$_worker" 2>/dev/null || : ;;
    esac
    if [ $_has = yes ]; then
        "$_function" || [ -n "$_error" ] || _error="${_prefix}internal error; see the output of the module"
    fi
    case $_error$_cmd in
        play) _work ;;
        rm) _end_work ;;
    esac
}

_work() { # start `work`, or let it go on
    if [ -n "$_worker" ]; then
        kill -CONT "$_worker" 2>/dev/null || :
    elif command -v work >/dev/null; then
        (
            work
            _status=$?
            [ -n "$_is_told" ] && exit # the service ends the module
            [ $_status = 0 ] && leave || fail "the work has ended with status $_status"
        ) 3<&- 5>&- &
        _worker=$!
    fi
}

_end_work() { # with everything that it has started, if this is a process group of its own
    [ -n "$_worker" ] || return 0
    trap '' TERM # or it would end this process too
    read -r _stat 2>/dev/null <"/proc/$$/stat" || _stat=''
    _stat=${_stat##*') '} _stat=${_stat#* * } # state, parent, group, …
    if [ "${_stat%% *}" = $$ ]; then _worker=0; fi
    { kill -TERM "$_worker" && kill -CONT "$_worker"; } 2>/dev/null || :
    _worker=''
}

refuse() { _error=$1; return 1; }

_update() { printf '{"cmd":"%s","args":%s}\n' "$1" "$2" >&4; }
leave() { echo '{"cmd":"rm"}' >&4; }
fail() { _update fail "{\"error\":$(json "$1")}"; }
give_result() { _is_told=yes && _update result "{\"value\":$1}"; }
save() { _update save "{\"state\":$1}"; }

set_parameters() { # NAME JSON…
    _pairs=''
    while [ $# -ge 2 ]; do
        _pairs="$_pairs${_pairs:+,}\"$1\":$2"
        shift 2
    done
    _update set_parameters "{\"parameters\":{$_pairs}}"
}

unset_parameters() { # NAME…
    _names=''
    for _name; do _names="$_names${_names:+,}\"$_name\""; done
    _update unset_parameters "{\"parameters\":[$_names]}"
}

json() { # text as a string of JSON
    printf '%s' "$1" | LC_ALL=C awk '
        BEGIN { for (i = 1; i < 32; i++) code[sprintf("%c", i)] = sprintf("\\u%04x", i); printf "\"" }
        {
            if (NR > 1) printf "\\n"
            while (match($0, /[\001-\037"\\]/)) {
                char = substr($0, RSTART, 1)
                printf "%s%s", substr($0, 1, RSTART - 1), (char in code ? code[char] : "\\" char)
                $0 = substr($0, RSTART + 1)
            }
            printf "%s", $0
        }
        END { printf "\"" }'
}

_commands() { # those of clients, for an error text
    _list=$(_list_commands | sed 's/.*/`&`,/' | tr '\n' ' ')
    _list=${_list%, }
    echo "${_list:-none}"
}

_list_commands() { sed -n 's/^ *do_\([A-Za-z0-9_]*\) *().*/\1/p' "$0"; }

_read_arguments() { # turn an object on standard input into assignments, as DECLARED
    LC_ALL=C awk -v declared="$1" '
        function quoted(text) { gsub(/\047/, "\047\\\047\047", text); return "\047" text "\047" }
        function finish(text) { print "_error=" quoted(text); failed = 1; exit }
        function space() { sub(/^[ \t\r\n]+/, "", rest) }
        function utf8(n) {
            if (n < 128) return sprintf("%c", n)
            if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
            return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
        }
        function hex(text,  i, n) {
            for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(text, i, 1))) - 1
            return n
        }
        function string(  text, char) { # takes a string from the front of `rest`
            rest = substr(rest, 2)
            while (match(rest, /^[^"\\]+/) || substr(rest, 1, 1) == "\\") {
                if (RSTART == 1) { text = text substr(rest, 1, RLENGTH); rest = substr(rest, RLENGTH + 1); continue }
                char = substr(rest, 2, 1); rest = substr(rest, 3)
                if (char == "u") { text = text utf8(hex(rest)); rest = substr(rest, 5) }
                else text = text (char == "n" ? "\n" : char == "t" ? "\t" : char == "r" ? "\r" : char == "b" ? "\b" : char == "f" ? "\f" : char)
            }
            rest = substr(rest, 2)
            return text
        }
        function nested(  depth, start, before) { # the same for an array or object, as it is written
            start = rest
            do {
                before = substr(rest, 1, 1)
                if (before == "\"") { string(); continue }
                depth += (before == "{" || before == "[") - (before == "}" || before == "]")
                rest = substr(rest, 2)
            } while (depth > 0)
            return substr(start, 1, length(start) - length(rest))
        }
        { rest = rest (NR > 1 ? "\n" : "") $0 }
        END {
            if (failed) exit
            count = split(declared, words, " ")
            for (i = 1; i <= count; i++) {
                name = words[i]; sub(/:.*/, "", name)
                kind = substr(words[i], length(name) + 2); by_default = ""
                if (at = index(kind, "=")) { by_default = substr(kind, at + 1); kind = substr(kind, 1, at - 1); optional[name] = 1 }
                order[i] = name; type[name] = kind; value[name] = by_default
                known = known (i > 1 ? ", " : "") "`" name "`"
            }
            if (known == "") known = "none"
            space(); rest = substr(rest, 2); space()
            while (substr(rest, 1, 1) == "\"") {
                name = string(); space(); rest = substr(rest, 2); space()
                first = substr(rest, 1, 1)
                if (first == "\"") { got = "str"; text = string() }
                else if (first == "{") { got = "object"; text = nested() }
                else if (first == "[") { got = "array"; text = nested() }
                else {
                    match(rest, /^[-+.0-9a-zA-Z]+/); text = substr(rest, 1, RLENGTH); rest = substr(rest, RLENGTH + 1)
                    got = text == "null" ? "null" : text ~ /^[tf]/ ? "bool" : text ~ /[.eE]/ ? "float" : "int"
                }
                if (got == "float" && type[name] == "int" && text ~ /^-?[0-9]+\.0+$/) { got = "int"; sub(/\..*/, "", text) }
                if (!(name in type)) finish("unknown argument `" name "`; known: " known)
                if (type[name] != got && type[name] != "json" && !(type[name] == "float" && got == "int"))
                    finish("argument `" name "`: expected `" type[name] "`, got `" got "`")
                value[name] = text; given[name] = 1
                space(); sub(/^,/, "", rest); space()
            }
            for (i = 1; i <= count; i++)
                if (!(order[i] in given) && !(order[i] in optional)) finish("argument `" order[i] "` is missing")
            for (i = 1; i <= count; i++) print order[i] "=" quoted(value[order[i]])
        }'
}

describe() { # the description, from the declarations
    _list=''
    for _name in $(_list_commands); do
        eval "_declared=\${args_do_$_name-} _help=\${help_do_$_name-}"
        _list="$_list${_list:+,}\"$_name\":{\"description\":$(json "$_help"),\"args\":$(_schema "$_declared")}"
    done
    printf '{"title":%s,"description":%s,' "$(json "${title-${0##*/}}")" "$(json "${description-}")"
    [ -z "${label-}" ] || printf '"label":%s,' "$(json "$label")"
    printf '"args":%s,"commands":{%s},' "$(_schema "${args_init-}")" "$_list"
    printf '"parameters":%s}\n' "${parameters:-{\}}"
}

_schema() { # the schema of declared arguments
    _properties='' _required=''
    for _each in $1; do
        _key=${_each%%:*} _kind=${_each#*:}
        case $_kind in *=*) _default=${_kind#*=} _kind=${_kind%%=*} ;; *) _default='' _required="$_required${_required:+,}\"$_key\"" ;; esac
        case $_kind in
            int) _property='"type":"integer"' ;;
            float) _property='"type":"number"' ;;
            bool) _property='"type":"boolean"' ;;
            str) _property='"type":"string"' ;;
            *) _property='' ;;
        esac
        case $_each in *=*)
            [ "$_kind" != str ] || _default=$(json "$_default")
            _property="$_property${_property:+,}\"default\":$_default" ;;
        esac
        _properties="$_properties${_properties:+,}\"$_key\":{$_property}"
    done
    printf '{"type":"object","properties":{%s},"required":[%s]}' "$_properties" "$_required"
}

# Before anything else: the streams. SHMOOZE_CONNECTED tells the second time, since exec keeps the pid.
for _last; do :; done
_connected=''
if [ "${SHMOOZE_CONNECTED-}" = $$ ]; then
    _connected=yes
    unset SHMOOZE_CONNECTED
    exec 5>&3
elif [ "$_last" = --describe ]; then
    : # by hand
elif [ $# -lt 3 ]; then
    if [ -p /dev/stdin ]; then # otherwise by hand
        _connected=yes
        exec 3<&0 4>&1 5>&1 0</dev/null 1>&2
    fi
elif command -v bash >/dev/null; then
    SHMOOZE_CONNECTED=$$ exec bash -c '
        at=$(($# - 2)); host=${!at} commands=${@:$at+1:1} updates=${@:$at+2:1}
        exec 3<>"/dev/tcp/$host/$commands" && exec 4<>"/dev/tcp/$host/$updates" && exec sh "$0" "$@"' "$0" "$@"
elif command -v perl >/dev/null; then
    SHMOOZE_CONNECTED=$$ exec perl -MIO::Socket::IP -MPOSIX=dup2 -e '
        $^F = 9;
        for (0, 1) {
            $s[$_] = IO::Socket::IP->new(PeerHost => $ARGV[-3], PeerPort => $ARGV[$_ - 2]) or die "$@\n";
            dup2(fileno($s[$_]), $_ + 3);
        }
        exec "sh", @ARGV' "$0" "$@"
else
    SHMOOZE_CONNECTED=$$ exec python3 -c '
import os, socket, sys
for number in (0, 1):
    stream = socket.create_connection((sys.argv[-3], int(sys.argv[number - 2])))
    os.dup2(stream.detach(), number + 3)
    os.set_inheritable(number + 3, True)
os.execvp("sh", ["sh", *sys.argv[1:]])' "$0" "$@"
fi
