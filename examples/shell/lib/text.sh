# Small text helpers in POSIX shell: what the suite beside this folder tests.

# trim TEXT: TEXT without blanks at both ends.
trim() {
  text=$1
  text=${text#"${text%%[![:space:]]*}"}
  printf '%s' "${text%"${text##*[![:space:]]}"}"
}

# slug TEXT: TEXT in lower case, every run of other characters as one dash.
slug() {
  printf '%s' "$1" | tr '[:upper:]' '[:lower:]' | tr -cs '[:alnum:]' '-' | sed 's/^-//; s/-$//'
}

# repeat COUNT TEXT: TEXT, COUNT times.
repeat() {
  count=$1
  while [ "$count" -gt 0 ]; do
    printf '%s' "$2"
    count=$((count - 1))
  done
}

# version_at_least HAVE WANT: true if HAVE is WANT or newer, part by part.
version_at_least() {
  have=$1.
  want=$2.
  while [ -n "$have$want" ]; do
    h=${have%%.*} have=${have#*.}
    w=${want%%.*} want=${want#*.}
    [ "${h:-0}" -gt "${w:-0}" ] && return 0
    [ "${h:-0}" -lt "${w:-0}" ] && return 1
  done
  return 0
}
