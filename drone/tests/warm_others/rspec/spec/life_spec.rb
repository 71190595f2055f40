# frozen_string_literal: true

RSpec.describe "life" do
  before(:all) { @all = 1 }
  before { @list = [1] }
  after { raise "after broke" if @broken }

  include_examples "shared"

  it("holds") { expect(@list + [@all]).to eq [1, 1] }
  it("fails") { expect(1).to eq 2 }
  it("raises") { raise ArgumentError, "bad äöü ☃" }
  it("is pending and fails") { pending("later"); expect(1).to eq 2 }
  it("is pending and holds") { pending("later") }
  it "has no body"
  xit("is left out") { raise }
  it("has a broken after") { @broken = true }
  it("is slow", :slow) { raise }
  it("ünïcode ☃") { expect(ENV["SKEP_FILE"]).to eq "spec/life_spec.rb" }
  it { expect(1).to eq 1 }

  it "forks" do
    Process.wait(fork { exit 3 })
    expect($?.exitstatus).to eq 3
  end

  context "in a broken context" do
    before(:all) { raise "before all" }
    it("never runs") {}
    it("never runs either") {}
  end

  context "twice" do
    it("same") {}
    it("same") {}
  end
end
