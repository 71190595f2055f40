# frozen_string_literal: true

# minitest and test-unit, warm: the library and the suite's `test_helper` are there before the first fork.
#
# Owns what these need of their own; frames, forks and ends are `worker.rb`'s. A case is called as in the lines of
# `ruby -Ilib -Itest FILE -v`. Its arguments are those of the file there. The drone writes it as `skep_minitest.rb`.

require_relative "skep_worker"
require_relative "skep_testunit"

# The tests of one process, run at its end as their files' own `minitest/autorun` says.
class SkepMinitest
  HELPERS = %w[test/test_helper.rb test/helper.rb].freeze
  FILES = %w[test/**/*_test.rb test/**/test_*.rb].freeze

  def initialize(args)
    @args = args
    @classes = {}
    @ends = Hash.new([])
  end

  # False if the suite's helper is at fault: each file that requires it then says so.
  def load(collect)
    $LOAD_PATH.unshift(File.expand_path("lib"), File.expand_path("test"))
    @many = SkepWorker::SPEC["keep"]
    require "minitest"
    listen
    require_helper unless SkepWorker::SPEC["bare"]
    SkepTestUnit.hold
    @common = Minitest::Runnable.runnables.dup
    SkepWorker.quietly { collect_classes } if collect
    SkepTestUnit.hold
    true
  rescue LoadError, StandardError, SyntaxError, SystemExit => e
    raise if SkepWorker::SPEC["bare"]

    SkepWorker.complain(e)
    false
  end

  # Loads the file as the main script. minitest runs its tests when the process ends, or here if more files follow.
  def run(file, cases, report)
    @report = report
    $PROGRAM_NAME = file
    ARGV.replace(["-v", *choice(cases), *@args])
    installed_anew unless @many
    Minitest::Runnable.runnables.replace(@common + @classes.fetch(file, []))
    @ends[file].each { |block| at_exit(&block) }
    main_script(file) unless @classes.key?(file)
    SkepTestUnit.listen(report)
    return 0 unless @many
    return SkepTestUnit.run(file) if SkepTestUnit.there? && Minitest::Runnable.runnables == @common

    Minitest.run(ARGV.dup) ? 0 : 1
  end

  def begin(kind, name)
    @report.begin("#{kind}##{name}")
  end

  # Takes in what a test came to.
  def record(result)
    kind = result.respond_to?(:klass) ? result.klass : result.class.name
    place = result.respond_to?(:source_location) ? result.source_location : result.method(result.name).source_location
    outcome = { "F" => "failed", "E" => "errored", "S" => "skipped" }.fetch(result.result_code, "passed")
    text = result.failures.map do |failure|
      outcome == "skipped" ? failure.message : "#{failure.result_label} [#{failure.location}]:\n#{failure.message}"
    end
    @report.case(
      "#{kind}##{result.name}", outcome,
      duration: result.time, message: text.join("\n\n"), file: place[0], line: place[1]
    )
  end

  private

  def choice(cases)
    cases ? ["-n", "/^(#{cases.map { |name| Regexp.escape(name).gsub('/', '\\/') }.join('|')})$/"] : []
  end

  # Beside whatever reporters the suite chooses; and nothing is run where the template ends.
  def listen
    framework = self
    Minitest::CompositeReporter.prepend(Module.new do
      define_method(:prerecord) do |kind, name|
        super(kind, name)
        framework.begin(kind, name)
      end
      define_method(:record) do |result|
        super(result)
        framework.record(result)
      end
    end)
    Minitest.singleton_class.prepend(Module.new do
      def run(*)
        SkepWorker.child? ? super : true
      end
    end)
  end

  # A helper that no file asks for is not loaded.
  def require_helper
    files = Dir.glob(FILES)
    helper = HELPERS.find do |path|
      word = File.basename(path, ".rb")
      File.file?(path) && (files - HELPERS).any? { |file| File.binread(file).include?(word) }
    end
    require(File.expand_path(helper)) if helper
  end

  # What the helper has set to be done at the end was set in another process.
  def installed_anew
    SkepTestUnit.release
    return unless Minitest.class_variable_get(:@@installed_at_exit)

    Minitest.class_variable_set(:@@installed_at_exit, false)
    Minitest.autorun
  end

  # All files, as `rake test` loads them; those that cannot be loaded are left to say so when they are run.
  def collect_classes
    # As if a helper had asked for the run already.
    Minitest.class_variable_set(:@@installed_at_exit, true)
    (Dir.glob(FILES).uniq - HELPERS).sort.each do |file|
      before = Minitest::Runnable.runnables.dup
      @ends[file] = SkepWorker.hold_ends { main_script(file) }
      @classes[file] = Minitest::Runnable.runnables - before
    rescue StandardError, ScriptError, SystemExit
      next
    end
  end

  def main_script(file)
    text = File.binread(file)
    if (mark = text.match(/^__END__\r?\n/))
      Object.send(:remove_const, :DATA) if Object.const_defined?(:DATA, false)
      Object.const_set(:DATA, File.open(file).tap { |data| data.seek(mark.end(0)) })
    end
    RubyVM::InstructionSequence.compile_file(file).eval
  end
end

SkepWorker.serve(SkepMinitest.new(SkepWorker::ARGUMENTS))
