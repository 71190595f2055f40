#!/bin/sh
. ./lib/tap.sh
. ./lib/stack.sh

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
stack=$folder/stack

is 'a new stack is empty' "$(depth "$stack")" 0
empty() { ! pop "$stack"; }
ok 'nothing can be taken from it' empty
push "$stack" one
push "$stack" 'two words'
is 'it has what was pushed' "$(depth "$stack")" 2
is 'the last is on top' "$(top "$stack")" 'two words'
pop "$stack"
is 'then the one before' "$(top "$stack")" one
finish
