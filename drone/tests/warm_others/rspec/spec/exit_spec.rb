RSpec.describe "exit" do
  it("a") {}
  it("b") { exit! 7 }
end
