RSpec.describe "typo" do
  no_such_word
end
