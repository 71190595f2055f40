require "test_helper"
require "no_such_thing"
