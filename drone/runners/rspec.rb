# frozen_string_literal: true

# rspec, warm: options, `--require`d files and what these load are there before the first fork.
#
# Owns what rspec needs of its own; frames, forks and ends are `worker.rb`'s. A case is called as in rspec's own JSON
# report. Its arguments are those of `rspec` without files. The drone
# writes it as `skep_rspec.rb`.

require_relative "skep_worker"

# The one configured rspec of the process.
class SkepRspec
  def initialize(args)
    @args = args + ["--format", "progress"]
  end

  # False if the suite's configuration is at fault: rspec itself then says so, for each file.
  def load(collect)
    $PROGRAM_NAME = "rspec"
    require "rspec/core"
    RSpec::Core::Runner.disable_autorun!
    @options = RSpec::Core::ConfigurationOptions.new(@args)
    @runner = RSpec::Core::Runner.new(@options)
    @groups = {}
    @fresh = !collect
    RSpec.configuration.backtrace_exclusion_patterns << /\A#{Regexp.escape(__dir__)}/
    @runner.configure($stderr, $stdout)
    return false if RSpec.world.wants_to_quit

    prime unless SkepWorker::SPEC["bare"]
    SkepWorker.quietly { collect_groups } if collect
    true
  end

  def run(file, cases, report)
    config = RSpec.configuration
    path = File.expand_path(file)
    RSpec::Core::Runner.trap_interrupt
    anew unless @fresh
    @fresh = false
    config.start_time = RSpec::Core::Time.now
    formatter(config, report)
    config.full_description = cases.map { |name| Regexp.escape(name) } if cases
    return early if RSpec.world.wants_to_quit

    if @groups.key?(path)
      @ends[path].each { |block| at_exit(&block) }
      RSpec.world.example_groups.replace(@groups[path])
    else
      RSpec.world.example_groups.clear
      config.files_or_directories_to_run = [file]
      config.load_spec_files
    end
    RSpec.world.announce_filters
    return early if RSpec.world.wants_to_quit

    code = @runner.run_specs(RSpec.world.ordered_example_groups)
    @runner.send(:persist_example_statuses)
    code
  end

  private

  # What rspec itself loads when it comes to need it.
  def prime
    require "rspec/core/profiler"
    config = RSpec.configuration
    require "rspec/core/mocking_adapters/rspec" if config.mock_framework.name == "RSpec::Core::MockingAdapters::RSpec"
    RSpec::Matchers::BuiltIn.constants.each { |name| RSpec::Matchers::BuiltIn.const_get(name) } if defined?(RSpec::Matchers::BuiltIn)
  rescue LoadError, NameError
    nil # Loaded later, or never.
  end

  # All files, as a plain `rspec` loads them; those that cannot be loaded are left to say so when they are run.
  def collect_groups
    config = RSpec.configuration
    config.files_or_directories_to_run = [config.default_path]
    files = config.files_to_run.uniq.map { |file| File.expand_path(file) }
    @ends = {}
    broken = files.reject do |file|
      config.files_or_directories_to_run = [file]
      @ends[file] = SkepWorker.hold_ends { config.load_spec_files }
      !RSpec.world.wants_to_quit
    ensure
      RSpec.world.wants_to_quit = false
      RSpec.world.non_example_failure = false
    end
    groups = RSpec.world.example_groups.group_by { |group| group.metadata[:absolute_file_path] }
    (files - broken).each { |file| @groups[file] = groups.fetch(file, []) }
  end

  # After a file: forgets its results, keeps the configuration.
  def anew
    RSpec.clear_examples
    RSpec.world.wants_to_quit = false
    RSpec.world.non_example_failure = false
    @options.configure_filter_manager(RSpec.configuration.filter_manager)
    @options.send(:load_formatters_into, RSpec.configuration)
  end

  # What ends a run before its examples.
  def early
    RSpec.configuration.reporter.exit_early(@runner.send(:exit_code))
  end

  def formatter(config, report)
    formatter = Class.new do
      RSpec::Core::Formatters.register self, :example_started, :example_passed, :example_failed, :example_pending, :message, :dump_summary

      define_method(:initialize) do |_output|
        @report = report
        @messages = []
      end

      def example_started(told)
        @report.begin(told.example.full_description)
      end

      def example_passed(told)
        say(told.example, "passed")
      end

      def example_pending(told)
        say(told.example, "skipped", told.example.execution_result.pending_message)
      end

      def example_failed(told)
        error = told.example.execution_result.exception
        lines = ["#{error.class.name}: #{error.message}"]
        lines.concat(RSpec.configuration.backtrace_formatter.format_backtrace(error.backtrace, told.example.metadata))
        say(told.example, "failed", lines.join("\n"))
      end

      def message(told)
        @messages << told.message
      end

      def dump_summary(told)
        return unless told.errors_outside_of_examples_count.positive?

        @report.case("(loading the file)", "errored", message: @messages.join("\n"))
      end

      def say(example, outcome, message = nil)
        @report.case(
          example.full_description, outcome,
          duration: example.execution_result.run_time, message: message,
          file: example.metadata[:file_path], line: example.metadata[:line_number]
        )
      end
    end
    config.add_formatter(formatter)
  end
end

SkepWorker.serve(SkepRspec.new(SkepWorker::ARGUMENTS))
