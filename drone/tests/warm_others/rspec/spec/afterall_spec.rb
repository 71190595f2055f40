RSpec.describe "after" do
  after(:all) { raise "after all" }
  it("holds") {}
end
