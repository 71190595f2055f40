# frozen_string_literal: true

require "test_helper"

class LoudTest < Minitest::Test
  def test_loud
    50_000.times { puts "x" * 99 }
  end
end
