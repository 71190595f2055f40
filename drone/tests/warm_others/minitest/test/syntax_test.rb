require "test_helper"

class SyntaxTest < Minitest::Test
  def test_x
    (
  end
end
