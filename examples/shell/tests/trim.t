#!/bin/sh
. ./lib/tap.sh
. ./lib/text.sh

is 'blanks go at both ends' "$(trim '  a b  ')" 'a b'
is 'tabs and line ends go too' "$(trim "$(printf '\t x\n\t')")" 'x'
is 'only blanks leave nothing' "$(trim '   ')" ''
is 'nothing stays nothing' "$(trim '')" ''
is 'what looks like a pattern stays' "$(trim ' *?[a] ')" '*?[a]'
finish
