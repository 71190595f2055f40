require "no_such_thing"
