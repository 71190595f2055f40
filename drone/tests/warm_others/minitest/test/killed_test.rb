# frozen_string_literal: true

require "test_helper"

class KilledTest < Minitest::Test
  def test_kill
    Process.kill("KILL", Process.pid)
    sleep
  end
end
