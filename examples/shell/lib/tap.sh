# The Test Anything Protocol in a few lines: `is`, `ok` and `skip` count and print, `finish` prints the plan.
tap_count=0
tap_bad=0

# ok NAME COMMAND…: the command must succeed.
ok() {
  tap_name=$1
  shift
  tap_count=$((tap_count + 1))
  if "$@"; then
    echo "ok $tap_count - $tap_name"
  else
    echo "not ok $tap_count - $tap_name"
    echo "# '$*' ended with $?"
    tap_bad=1
  fi
}

# is NAME GOT WANT: both texts must be the same.
is() {
  tap_count=$((tap_count + 1))
  if [ "$2" = "$3" ]; then
    echo "ok $tap_count - $1"
  else
    echo "not ok $tap_count - $1"
    echo "# got '$2', want '$3'"
    tap_bad=1
  fi
}

# skip NAME REASON
skip() {
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1 # SKIP $2"
}

# finish: the plan, and the exit code.
finish() {
  echo "1..$tap_count"
  exit "$tap_bad"
}
