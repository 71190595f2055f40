# frozen_string_literal: true

RSpec.configure do |config|
  config.expect_with(:rspec) { |c| c.syntax = :expect }
  config.before(:suite) { $suite = true }
  config.filter_run_excluding :slow
end
RSpec.shared_examples("shared") { it("is shared") { expect($suite).to be true } }
