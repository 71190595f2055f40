#!/bin/sh
. ./lib/tap.sh
. ./lib/text.sh

is 'three times' "$(repeat 3 ab)" 'ababab'
is 'not at all' "$(repeat 0 ab)" ''
long=$(repeat 1000 x)
is 'a thousand times' "${#long}" '1000'
finish
