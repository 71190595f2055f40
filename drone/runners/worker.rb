# frozen_string_literal: true

# What every Ruby worker has in common: the frames, the template that forks, and the child that runs files.
#
# It loads nothing but `socket`: what a suite requires must find the interpreter as its own command would leave it. It
# must not know a framework (`rspec.rb`, `minitest.rb`): one is an object that answers `load(collect)`, which does once
# what all files need, and `run(file, cases, report)`, which runs a file, or only those of its cases, and answers the exit code of the framework's own
# command. The drone writes it beside its users as `skep_worker.rb`; read `drone/src/runner/warm.rs` for its other end.

require "socket"

module SkepWorker
  CONTROL = 1
  JSON_BODY = 8
  STREAM = 1
  STOP = 2
  # The exit code of a child that could not begin.
  CANNOT = 70

  # As much of JSON as the words need. The library would fix its version before the suite's bundle has a say.
  module Words
    ESCAPES = { '"' => '\"', "\\" => "\\\\", "\n" => '\n', "\r" => '\r', "\t" => '\t' }.freeze

    def self.write(value)
      case value
      when Hash then "{#{value.map { |key, item| "#{write(key.to_s)}:#{write(item)}" }.join(',')}}"
      when Array then "[#{value.map { |item| write(item) }.join(',')}]"
      when String then string(value)
      when nil then "null"
      when Float then value.finite? ? value.to_s : "null"
      else value.to_s
      end
    end

    def self.string(text)
      utf8 = text.encoding == Encoding::BINARY ? text.dup.force_encoding(Encoding::UTF_8) : text
      utf8 = utf8.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
      %("#{utf8.gsub(/["\\\u0000-\u001f]/) { |char| ESCAPES[char] || format('\u%04x', char.ord) }}")
    end

    def self.read(text)
      Reader.new(text.dup.force_encoding(Encoding::UTF_8)).value
    end

    # Reads what `write` or the drone has written.
    class Reader
      WORDS = { "true" => true, "false" => false, "null" => nil }.freeze
      PLAIN = { "n" => "\n", "r" => "\r", "t" => "\t", "b" => "\b", "f" => "\f" }.freeze

      def initialize(text)
        @text = text
        @at = 0
      end

      def value
        return items("}") { [take(/"((?:[^"\\]|\\.)*)"/).then { |key| plain(key) }, (take(/:/); value)] }.to_h if skip(/\{/)
        return items("]") { value } if skip(/\[/)
        return plain(@found[1]) if skip(/"((?:[^"\\]|\\.)*)"/m)
        return WORDS[@found[0].strip] if skip(/true|false|null/)

        number = take(/(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)/)
        number.match?(/[.eE]/) ? number.to_f : number.to_i
      end

      private

      def items(close)
        list = []
        until skip(/#{Regexp.escape(close)}/)
          take(/(,)/) unless list.empty?
          list << yield
        end
        list
      end

      def skip(pattern)
        @found = /\G\s*#{pattern}/m.match(@text, @at)
        @at = @found.end(0) if @found
        @found
      end

      def take(pattern)
        skip(pattern) or raise ArgumentError, "not understood: #{@text[@at, 80].inspect}"
        @found[1]
      end

      def plain(text)
        text = text.gsub(/\\u[dD][89abAB]\h\h\\u[dD][c-fC-F]\h\h/) do |pair|
          high, low = pair.scan(/\h{4}/).map(&:hex)
          [0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)].pack("U")
        end
        text.gsub(/\\(?:u(\h{4})|(.))/m) { Regexp.last_match(1) ? [$1.hex].pack("U") : PLAIN.fetch($2, $2) }
      end
    end
  end

  # Frames over a socket of its own.
  class Relay
    TABLE = (0..255).map { |byte| 8.times.inject(byte) { |sum, _| sum.odd? ? (sum >> 1) ^ 0xedb88320 : sum >> 1 } }.freeze
    Frame = Struct.new(:flags, :bits, :context, :body) do
      def control?
        flags & CONTROL != 0
      end

      def stop?
        bits & STOP != 0 || (control? && body.include?('"stop"'))
      end
    end

    attr_reader :socket

    def initialize(path)
      @owner = Process.pid
      @socket = UNIXSocket.new(path)
      @buffer = String.new(encoding: Encoding::BINARY)
      @files = []
      @turn = Mutex.new
    end

    def say(context, value, stream: false)
      send_frame(JSON_BODY, context, Words.write(value), stream ? STREAM : 0)
    end

    def hello(**more)
      send_frame(CONTROL | JSON_BODY, "", Words.write({ pid: Process.pid, **more }))
    end

    def stop
      send_frame(CONTROL, "", "", STOP)
    end

    def send_frame(flags, context, body, bits = 0)
      # What a test forks has this socket too, and perhaps runs on.
      return unless Process.pid == @owner

      head = [0x14, flags, context.bytesize + body.bytesize].pack("CCV")
      frame = head + [sum(head), bits, 0, context.bytesize].pack("VCCV") + context.b + body.b
      @turn.synchronize { @socket.write(frame) }
    rescue Errno::EPIPE, Errno::ECONNRESET
      exit!(CANNOT) # The drone has gone.
    end

    # The next payload, or nil at the end and where the drone says stop.
    def receive
      loop do
        frame = whole
        next (return nil unless fill) unless frame
        return nil if frame.stop?
        return frame unless frame.control?
      end
    end

    # A frame that is here already.
    def whole
      return nil if @buffer.bytesize < 12

      words, flags, size, crc, bits = @buffer.unpack("CCVVC")
      raise IOError, "broken frame: #{@buffer[0, 200].inspect}" unless crc == sum(@buffer[0, 6])

      start = (words & 15) * 4
      return nil if @buffer.bytesize < start + size

      split = start > 12 ? @buffer[12, 4].unpack1("V") : 0
      @buffer.slice!(0, start)
      payload = @buffer.slice!(0, size)
      Frame.new(flags, bits, payload[0, split], payload[split..-1])
    end

    # Waits for bytes; false at the end.
    def fill
      data, _, _, *controls = @socket.recvmsg(1 << 16, 0, nil, scm_rights: true)
      controls.each { |control| @files.concat(control.unix_rights) if control.cmsg_is?(:SOCKET, :RIGHTS) }
      return false if data.nil? || data.empty?

      @buffer << data
      true
    rescue Errno::ECONNRESET
      false
    end

    # The next files that came along with frames.
    def files(count)
      @files.shift(count)
    end

    private

    def sum(bytes)
      bytes.each_byte.inject(0xffffffff) { |sum, byte| TABLE[(sum ^ byte) & 255] ^ (sum >> 8) } ^ 0xffffffff
    end
  end

  # What a framework tells about the file that it runs.
  class Report
    def initialize(relay)
      @relay = relay
    end

    # A case begins: the one that is to be named if this process does not live to see its end.
    def begin(name)
      @relay.send_frame(JSON_BODY, "begin", name, STREAM)
    end

    # `outcome` as `CaseOutcome`; `duration` in seconds.
    def case(name, outcome, duration: nil, message: nil, file: nil, line: nil)
      told = { name: name, outcome: outcome }
      told[:duration] = duration * 1000.0 if duration
      told[:message] = message if message && !message.empty?
      told[:file] = Report.relative(file) if file
      told[:line] = line if line
      @relay.say("case", told, stream: true)
    end

    def self.relative(path)
      path.delete_prefix("#{Dir.pwd}/").delete_prefix("./")
    end
  end

  # The wait status of a child that has ended and its seconds of CPU, or nil. Ruby cannot ask for the memory of one
  # child: that the child tells itself.
  def self.reap(pid)
    before = Process.times
    pid, status = Process.wait2(pid, Process::WNOHANG)
    now = Process.times
    pid && { pid: pid, status: status.to_i, cpu: now.cutime + now.cstime - before.cutime - before.cstime }
  end

  # The most memory that this process has had, in KiB, where the system says it.
  def self.peak_memory
    File.read("/proc/self/status")[/^VmHWM:\s*(\d+)/, 1]&.to_i
  rescue SystemCallError
    nil
  end

  # Loads once, forks a child for each request, tells how they ended.
  class Template
    def initialize(framework)
      @framework = framework
      @children = {}
    end

    def serve
      SkepWorker.again_bare unless SPEC["bare"] || @framework.load(SPEC["collect"])
      Process.warmup if Process.respond_to?(:warmup)
      relay = Relay.new(SPEC["socket"])
      wake, bell = IO.pipe
      trap("CHLD") { bell.write_nonblock(".", exception: false) }
      relay.hello(template: true)
      loop do
        ready, = IO.select([relay.socket, wake])
        if ready.include?(wake)
          wake.read_nonblock(4096, exception: false)
          reap(relay)
        end
        next unless ready.include?(relay.socket)
        return unless relay.fill

        while (frame = relay.whole)
          return if frame.stop?

          fork_child(Words.read(frame.body), relay) unless frame.control?
        end
      end
    end

    private

    def fork_child(request, relay)
      files = relay.files(2)
      $stdout.flush
      $stderr.flush
      pid = fork do
        relay.socket.close
        Child.new(@framework).begin(request, files)
      end
      @children[pid] = request["id"]
      files.each(&:close)
    end

    def reap(relay)
      @children.reject! do |pid, id|
        ended = SkepWorker.reap(pid)
        relay.say("exited", { **ended, id: id }) if ended
        ended
      end
    end
  end

  # Runs one file, or all that it is given.
  class Child
    class << self
      # The process that is one.
      attr_accessor :here
    end

    def initialize(framework)
      @framework = framework
      @many = SPEC["keep"]
    end

    # After the fork: makes the process what a command's would be.
    def begin(request, files)
      Process.setpgid(0, 0)
      %w[INT TERM CHLD].each { |signal| trap(signal, "DEFAULT") }
      File.open(File::NULL) { |null| $stdin.reopen(null) }
      STDOUT.reopen(files[0])
      STDERR.reopen(files[1])
      files.each(&:close)
      ENV.update(request["env"] || {})
      serve(id: request["id"])
    end

    def serve(**hello)
      Child.here = Process.pid
      relay = Relay.new(SPEC["socket"])
      relay.hello(**hello)
      last(relay)
      seen = {}
      while (frame = relay.receive)
        work = Words.read(frame.body)
        if seen[work["file"]]
          # What a file defines is there: only another process can load it anew.
          relay.stop
          break
        else
          seen[work["file"]] = true
          ENV.update(work["env"] || {})
          run(work["file"], work["cases"], relay)
          break unless @many
        end
      end
    end

    private

    # By its own end the child tells the code of a single file: what the suite does at its exit can change it. What the
    # template has set to be done at its exit is the template's.
    def last(relay)
      owner = Process.pid
      at_exit do
        next unless Process.pid == owner

        code = ended($!)
        unless @many || !@began
          done(relay, code)
          relay.receive
        end
        exit!(code)
      end
    end

    def ended(error)
      case error
      when nil then 0
      when SystemExit then error.status
      when SignalException
        trap(error.signo, "DEFAULT")
        Process.kill(error.signo, Process.pid)
        128 + error.signo
      else
        SkepWorker.complain(error)
        @began ? 1 : CANNOT
      end
    end

    def run(file, cases, relay)
      @began = true
      report = Report.new(relay)
      unless @many
        @framework.load(false) if SPEC["bare"]
        code = @framework.run(file, cases, report)
        return code.zero? || exit(code)
      end

      code = begin
        @framework.load(false) if SPEC["bare"]
        @framework.run(file, cases, report)
      rescue SystemExit => e
        e.status
      rescue StandardError, ScriptError => e
        SkepWorker.complain(e)
        1
      end
      done(relay, code)
    end

    def done(relay, code)
      $stdout.flush
      $stderr.flush
      relay.say("done", { exit: code, memory: SkepWorker.peak_memory })
    end
  end

  # Says an error as Ruby would, without the lines of the worker itself.
  def self.complain(error)
    lines = (error.backtrace || []).reject { |line| line.start_with?(__dir__) }
    error.set_backtrace(lines)
    STDERR.write(error.full_message(highlight: false, order: :top))
  end

  # Begins again without what was loaded: a suite that cannot be loaded once says so for each of its files.
  def self.again_bare
    $stdout.flush
    ENV["SKEP_WARM"] = Words.write(SPEC.merge("bare" => true))
    exec(RbConfig.ruby, SCRIPT, *ARGUMENTS)
  end

  # What is loaded ahead says nothing: it says it again when its own file is run.
  def self.quietly
    kept = [STDOUT, STDERR].map(&:dup)
    [STDOUT, STDERR].each { |stream| stream.reopen(File::NULL, "w") }
    yield
  ensure
    STDOUT.reopen(kept[0])
    STDERR.reopen(kept[1])
    kept.each(&:close)
  end

  # What the block wants to be done at exit: not at the exit of this process.
  def self.hold_ends
    held = []
    original = Kernel.instance_method(:at_exit)
    Kernel.send(:define_method, :at_exit) { |&block| held.push(block).last }
    yield
    held
  ensure
    Kernel.send(:define_method, :at_exit, original)
    Kernel.send(:private, :at_exit)
  end

  # True in the process that runs tests.
  def self.child?
    Child.here == Process.pid
  end

  # How to serve: `socket`; `collect`: the whole suite first; `process`: no template, this process runs its one file;
  # `keep`: a child runs file after file; `bare`: only the children load anything.
  SPEC = Words.read(ENV.delete("SKEP_WARM"))
  SPEC["bare"] ||= SPEC["process"]
  SCRIPT = File.expand_path($PROGRAM_NAME)
  ARGUMENTS = ARGV.dup.freeze

  def self.serve(framework)
    if SPEC["process"]
      Child.new(framework).serve
    else
      Template.new(framework).serve
    end
  end
end
