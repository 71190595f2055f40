# A stack of lines in a file.

# push FILE LINE
push() {
  printf '%s\n' "$2" >>"$1"
}

# top FILE: the last line; false if there is none.
top() {
  [ -s "$1" ] && tail -n 1 "$1"
}

# pop FILE: takes the last line away; false if there is none.
pop() {
  [ -s "$1" ] || return 1
  sed '$d' "$1" >"$1.new" && mv "$1.new" "$1"
}

# depth FILE: how many lines.
depth() {
  if [ -f "$1" ]; then grep -c '' "$1" || true; else echo 0; fi
}
