RSpec.describe "exit" do
  it("a") {}
  it("b") { exit 9 }
end
