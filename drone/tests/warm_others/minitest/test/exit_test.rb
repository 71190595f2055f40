# frozen_string_literal: true

require "test_helper"

class ExitTest < Minitest::Test
  i_suck_and_my_tests_are_order_dependent!

  def test_a
  end

  def test_b
    exit! 7
  end
end
