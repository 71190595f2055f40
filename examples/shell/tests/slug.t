#!/bin/sh
. ./lib/tap.sh
. ./lib/text.sh

is 'words are joined by dashes' "$(slug 'Hello World')" 'hello-world'
is 'a run of signs is one dash' "$(slug 'a -- b!!c')" 'a-b-c'
is 'no dash at the ends' "$(slug '(really?)')" 'really'
is 'digits stay' "$(slug 'Version 1.20')" 'version-1-20'
finish
