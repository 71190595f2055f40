#!/bin/sh
# What a job's commands find around them. Run by hand, there is no job, and those cases are skipped.
. ./lib/tap.sh

ok 'HOME is a folder' test -d "$HOME"
has() { command -v "$1" >/dev/null; }
ok 'sh is on PATH' has sh
if [ -n "${SKEP_JOB_ID:-}" ]; then
  is 'CI is set' "$CI" true
  is 'the file knows its own path' "$SKEP_FILE" tests/environment.t
else
  skip 'CI is set' 'not run by Skep'
  skip 'the file knows its own path' 'not run by Skep'
fi
finish
