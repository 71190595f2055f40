# frozen_string_literal: true

# test-unit, for files that are run as minitest's are and use it instead: by their command both are `ruby FILE -v`.
#
# Owns what the library needs to run in a child what was set up before the fork, and to be heard. The drone writes it as
# `skep_testunit.rb`; read `minitest.rb` for who calls it.
module SkepTestUnit
  def self.there?
    defined?(Test::Unit::AutoRunner) ? true : false
  end

  # In the template: nothing is run when it ends.
  def self.hold
    @held = there?
    Test::Unit::AutoRunner.need_auto_run = false if @held
  end

  # In the child: what the library has set to be done at the end was set in another process.
  def self.release
    return unless @held

    Test::Unit::AutoRunner.need_auto_run = true
    at_exit { exit(Test::Unit::AutoRunner.run) if $!.nil? && Test::Unit::AutoRunner.need_auto_run? }
  end

  # Tells `report` of each test.
  def self.listen(report)
    return unless there?

    @report = report
    return if @listens

    @listens = true
    Test::Unit::TestCase.prepend(Module.new do
      def run(result, *more, **options, &block)
        SkepTestUnit.begin(self)
        before = result.faults.size
        super
      ensure
        SkepTestUnit.record(self, result.faults[before..-1]) if before
      end
    end)
  end

  # The tests that stand in `file`, where others are loaded too; the exit code.
  def self.run(file)
    path = File.expand_path(file)
    own = Test::Unit::TestCase::DESCENDANTS.select do |kind|
      tests = kind.public_instance_methods(true).grep(/\Atest/).map { |name| kind.instance_method(name) }
      tests.any? { |test| test.source_location && File.expand_path(test.source_location[0]) == path }
    end
    all = Test::Unit::TestCase::DESCENDANTS.dup
    Test::Unit::TestCase::DESCENDANTS.replace(own)
    Test::Unit::AutoRunner.run ? 0 : 1
  ensure
    Test::Unit::TestCase::DESCENDANTS.replace(all) if all
  end

  def self.begin(test)
    @report.begin(name(test))
  end

  def self.record(test, faults)
    fault = faults.first
    outcome = { "Failure" => "failed", "Error" => "errored" }.fetch(fault.class.name[/\w+\z/], "skipped") if fault
    file, line = test.method(test.method_name).source_location
    @report.case(
      name(test), outcome || "passed",
      duration: test.elapsed_time, message: faults.map { |one| outcome == "skipped" ? one.message : one.long_display }.join("\n\n"),
      file: file, line: line
    )
  end

  def self.name(test)
    label = test.data_label if test.respond_to?(:data_label)
    "#{test.class.name}##{test.method_name}#{label && "[#{label}]"}"
  end
end
