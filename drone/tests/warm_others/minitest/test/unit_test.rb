# frozen_string_literal: true

require "test/unit"

class UnitTest < Test::Unit::TestCase
  data("one", 1)
  data("two", 2)
  def test_data(number)
    assert_equal 1, number
  end

  def test_raises
    raise ArgumentError, "bad"
  end

  def test_pends
    pend "later"
  end

  def test_omits
    omit "not here"
  end
end
