# SPDX-License-Identifier: BSD-2-Clause
# Helpers that the other scripts source. They expect the root of the tree in $root.

say() {
    printf '== %s\n' "$*" >&2
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# as_root COMMAND...: runs it as root, through sudo if need be.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "not root and no sudo: cannot run: $*"
    fi
}

# missing_packages USE...: those of scripts/deps.txt with one of these uses that are not installed.
missing_packages() {
    local package use why
    while read -r package use why; do
        case " $* " in *" $use "*) ;; *) continue ;; esac
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            printf '%s\n' "$package"
    done < <(grep -v '^#' "$root/scripts/deps.txt")
}

# install_packages USE...: installs what is missing; does and says nothing when all is there.
install_packages() {
    local missing log
    command -v dpkg-query >/dev/null || return 0 # not Debian: the build says what it lacks
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "installing: ${missing[*]}"
    log=$(mktemp)
    # Fresh images have no package lists, old ones have stale lists: update on failure only.
    if ! apt_install "${missing[@]}" >"$log" 2>&1; then
        as_root apt-get update -q >>"$log" 2>&1 || true
        if ! apt_install "${missing[@]}" >>"$log" 2>&1; then
            tail -n 20 "$log" >&2
            rm -f "$log"
            die "apt-get could not install: ${missing[*]}"
        fi
    fi
    rm -f "$log"
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" </dev/null
}

# quietly LOG COMMAND...: output goes to LOG; its end is shown when the command fails.
quietly() {
    local log=$1 status=0
    shift
    "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" >&2
    fi
    return "$status"
}
