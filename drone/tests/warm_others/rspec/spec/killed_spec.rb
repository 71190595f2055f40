RSpec.describe "kill" do
  it("kills") { Process.kill("KILL", Process.pid); sleep }
end
