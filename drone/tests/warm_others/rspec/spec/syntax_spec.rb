RSpec.describe "syntax" do
  it("x") { (
end
