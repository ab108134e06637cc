# SPDX-License-Identifier: BSD-2-Clause
# bash completion for cbd-format, cbd-check, cbd-dump, cbd-ctl and cbd-sim. Options and commands
# are those that the tool's own --help has, so that none is ever missing here.

# __cbd_options TOOL [COMMAND]: one a line, "--name" or "--name=ARGUMENT".
__cbd_options() {
    "$@" --help 2>/dev/null | LC_ALL=C sed -nE \
        -e '/^Options:/,/^$/ {
            s/^ {2,6}(-[A-Za-z0-9], )?(--[a-z0-9-]+)(=[^ ]+)?( .*)?$/\2\3/p
            s/^ {2}(-[A-Za-z0-9])( .*)?$/\1/p
        }'
    "$@" --help 2>/dev/null | LC_ALL=C sed -nE 's/^ {2,6}(-[A-Za-z0-9]), --.*/\1/p'
}

# __cbd_commands TOOL: the words that its summary lists.
__cbd_commands() {
    "$1" --help 2>/dev/null | LC_ALL=C sed -nE \
        '/^Options:/q; s/^  ([a-z]+( [a-z]+)?)( .*)?$/\1/p' | LC_ALL=C tr ' ' '\n' |
        LC_ALL=C grep -E '^[a-z]+$' | LC_ALL=C sort -u
}

__cbd_complete() {
    local tool=$1 cur=${COMP_WORDS[COMP_CWORD]} option argument i
    local command=()

    COMPREPLY=()
    if [ "${tool##*/}" = cbd-sim ]; then
        for ((i = 1; i < COMP_CWORD; i++)); do
            case ${COMP_WORDS[i]} in
            -*) ;;
            *)
                command=("${COMP_WORDS[i]}")
                break
                ;;
            esac
        done
    fi
    # "--option=value" is three words here.
    i=$COMP_CWORD
    [ "$cur" != = ] || cur=
    [ "${COMP_WORDS[i - 1]}" != = ] || i=$((i - 1))
    option=${COMP_WORDS[i - 1]}
    argument=$(__cbd_options "$tool" "${command[@]}" | LC_ALL=C sed -n "s/^$option=//p")
    # "--option=NAME=PATH" is five, and "--option NAME=PATH" four: a file comes last.
    for option in "${COMP_WORDS[i > 2 ? i - 2 : 0]}" "${COMP_WORDS[i > 3 ? i - 3 : 0]}"; do
        [ "${COMP_WORDS[COMP_CWORD]}" = = ] || [ "${COMP_WORDS[COMP_CWORD - 1]}" = = ] || break
        case $option in
        --?*) [ "$(__cbd_options "$tool" "${command[@]}" | sed -n "s/^$option=//p")" != NAME=PATH ] ||
            argument=PATH ;;
        esac
    done
    case $argument in
    FILE | PATH)
        COMPREPLY=($(compgen -f -- "$cur"))
        return
        ;;
    on\|off)
        COMPREPLY=($(compgen -W 'on off' -- "$cur"))
        return
        ;;
    ?*) return ;;
    esac
    case $cur in
    -*) COMPREPLY=($(compgen -W "$(__cbd_options "$tool" "${command[@]}" | sed 's/=.*/=/')" -- "$cur")) ;;
    *)
        if [ "${tool##*/}" = cbd-sim ] && [ ${#command[@]} -eq 0 ]; then
            COMPREPLY=($(compgen -W "$(__cbd_commands "$tool")" -- "$cur"))
        elif [ "${tool##*/}" = cbd-ctl ] && [ "$COMP_CWORD" -gt 1 ]; then
            COMPREPLY=($(compgen -W "$(__cbd_commands "$tool")" -- "$cur"))
            [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$cur"))
        else
            COMPREPLY=($(compgen -f -- "$cur"))
        fi
        ;;
    esac
    # No blank behind "--name=".
    case ${COMPREPLY[*]} in *=) compopt -o nospace 2>/dev/null ;; esac
}

complete -F __cbd_complete cbd-format cbd-check cbd-dump cbd-ctl cbd-sim
