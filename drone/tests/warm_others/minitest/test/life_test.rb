# frozen_string_literal: true

require "test_helper"

class LifeTest < Minitest::Test
  def setup
    @list = [1]
  end

  def teardown
    raise "teardown broke" if name == "test_broken_teardown"
  end

  def test_holds
    assert_equal [1], @list
    assert_equal "thing", thing
  end

  def test_fails
    assert_equal 1, 2, "numbers"
  end

  def test_raises
    raise ArgumentError, "bad äöü ☃"
  end

  def test_skipped
    skip "not today"
  end

  def test_broken_teardown
  end

  define_method("test_ünïcode ☃") { assert true }

  def test_forks
    pid = fork { exit 3 }
    Process.wait(pid)
    assert_equal 3, $?.exitstatus
  end

  def test_worker
    assert_equal "test/life_test.rb", ENV["SKEP_FILE"]
    assert_equal __FILE__, $PROGRAM_NAME
    assert_equal "data\n", DATA.read
  end
end

describe "a spec" do
  it "holds too" do
    _(1).must_equal 1
  end
end
__END__
data
