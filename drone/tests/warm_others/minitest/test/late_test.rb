require "test_helper"

at_exit { exit 4 }

class LateTest < Minitest::Test
  def test_x
  end
end
