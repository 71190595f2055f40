RSpec.describe "loud" do
  it("is loud") { 50_000.times { puts "x" * 99 } }
end
