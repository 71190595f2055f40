RSpec.describe "hang" do
  it("hangs") { sleep }
end
