"""The scripts that make a shell complete the command line of shmz.

They run `shmz completion query SHELL WORD ...`, whose last word is the one to complete. It prints
a candidate a line, with a tab and a description if there is one.
"""

from __future__ import annotations

from shmooze.shmz.ending import Status, Stop

BASH = r"""
# Completion of shmz for bash: source <(shmz completion bash)
_shmz() {
    local line=${COMP_LINE:0:COMP_POINT} candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate%%$'\t'*}")
    done < <("$1" completion query bash "$line" 2>/dev/null </dev/null)
    # bash replaces only what follows the last character at which it breaks words.
    local breaks=${COMP_WORDBREAKS//[^=:]/} last=${line##*[[:space:]]}
    if [[ -n $breaks ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${last%"${last##*[$breaks]}"}"}")
    fi
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _shmz shmz
"""

ZSH = r"""
#compdef shmz
# Completion of shmz for zsh: source <(shmz completion zsh), after compinit
_shmz() {
    local line
    local -a open closed
    for line in ${(f)"$($words[1] completion query zsh \
            "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)"}; do
        local value=${line%%$'\t'*} about=
        [[ $line == *$'\t'* ]] && about=:${line#*$'\t'}
        if [[ $value == *= ]]; then
            open+=("${value//:/\\:}$about")
        else
            closed+=("${value//:/\\:}$about")
        fi
    done
    (( $#closed )) && _describe -t values value closed
    (( $#open )) && _describe -t arguments argument open -S ''
}
(( $+functions[compdef] )) && compdef _shmz shmz
[[ $funcstack[1] == _shmz ]] && _shmz "$@"
"""

FISH = r"""
# Completion of shmz for fish: shmz completion fish | source
function __shmz_candidates
    set -l words (commandline -opc)
    $words[1] completion query fish $words[2..-1] (commandline -ct) 2>/dev/null </dev/null
end
complete -c shmz -f -a '(__shmz_candidates)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script_for(words: list[str]) -> str:
    """Return the script for the shell that the words name. Raises Stop if they name none."""
    if len(words) != 1 or words[0] not in SCRIPTS:
        raise Stop(Status.MISUSED, "completion needs a shell: bash, zsh or fish")
    return SCRIPTS[words[0]].lstrip()
