#!/bin/sh
. ./lib/tap.sh
. ./lib/text.sh

ok 'the same is enough' version_at_least 1.2.3 1.2.3
ok 'newer is enough' version_at_least 1.10 1.9
ok 'a missing part is zero' version_at_least 2 2.0.0
older() { ! version_at_least "$@"; }
ok 'older is not enough' older 1.9.9 1.10
ok 'a longer one is newer' version_at_least 1.0.1 1.0
finish
