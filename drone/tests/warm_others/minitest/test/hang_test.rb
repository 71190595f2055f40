# frozen_string_literal: true

require "test_helper"

class HangTest < Minitest::Test
  def test_hangs
    sleep
  end
end
